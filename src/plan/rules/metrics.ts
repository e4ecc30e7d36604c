import { stepsOf, type Draft } from '../draft.ts';
import { type Finding, invalid, type Path } from '../finding.ts';
import { type Metric, metricForm, metricTexts, metricWords, namesWord } from '../metric.ts';
import type { StepOf } from '../steps/index.ts';
import { durationMs } from '../values.ts';

/** The metrics of a rollout's analysis: what each is, a ratio or one number, and whether it can be that. */
export function metricFindings(draft: Draft): Finding[] {
  return stepsOf(draft).flatMap(({ path, step }) =>
    step?.uses === 'rollout' && step.analysis !== undefined
      ? analysisFindings(step.analysis, [...path, 'analysis'])
      : [],
  );
}

function analysisFindings(analysis: NonNullable<StepOf<'rollout'>['analysis']>, path: Path): Finding[] {
  const names = new Set<string>();
  return [
    ...intervalFindings(analysis, [...path, 'interval']),
    ...analysis.metrics.flatMap((metric, index) => {
      const at = [...path, 'metrics', index];
      const twice = names.has(metric.name);
      names.add(metric.name);
      return [
        ...(twice ? [invalid([...at, 'name'], `there is another metric "${metric.name}"`)] : []),
        ...sourceFindings(metric, at),
        ...(metricForm(metric) === 'ratio' ? ratioFindings(metric, at) : limitFindings(metric, at)),
        ...wordFindings(metric, at),
      ];
    }),
  ];
}

function intervalFindings(
  { interval, metrics }: { interval: string; metrics: readonly Metric[] },
  path: Path,
): Finding[] {
  const ms = durationMs(interval);
  if (ms === 0) return [invalid(path, 'expected a duration of more than zero', { found: interval })];
  const named = metrics.some((metric) => metricTexts(metric).some(({ text }) => namesWord(text, 'interval')));
  return named && ms % 1000 !== 0
    ? [invalid(path, 'expected whole seconds, which is what `$interval` of a metric gives', { found: interval })]
    : [];
}

/** `sql` and `http` hold both forms: one number, or bad ones of a total. */
function sourceFindings({ sql, http }: Metric, path: Path): Finding[] {
  const [name, one, given] = sql === undefined ? (['http', 'path', http] as const) : (['sql', 'query', sql] as const);
  if (given === undefined) return [];
  const { bad, total, [one]: single } = given as { bad?: string; total?: string } & Record<string, string | undefined>;
  const at = [...path, name];
  if (bad === undefined && total === undefined) {
    return name === 'sql' && single === undefined
      ? [invalid(at, 'missing what to read: `query` for one number, or `bad` and `total` for a ratio')]
      : [];
  }
  if (single !== undefined)
    return [
      invalid([...at, one], `\`${one}\` is one number, beside \`bad\` and \`total\` of a ratio; leave one out`, {
        at: 'key',
      }),
    ];
  if (bad !== undefined && total !== undefined) return [];
  const [has, lacks] = bad === undefined ? ['total', 'bad'] : ['bad', 'total'];
  return [invalid(at, `a ratio has both: \`${lacks}\` is missing beside \`${has}\``)];
}

function ratioFindings(metric: Metric, path: Path): Finding[] {
  const findings: Finding[] = [];
  if (metric.max !== undefined) {
    findings.push(
      invalid([...path, 'max'], '`max` is for one number; a ratio of the new path is judged against the old', {
        at: 'key',
      }),
    );
  }
  if (metric.critical) {
    findings.push(
      invalid([...path, 'critical'], '`critical` needs a number with `max`; this is a ratio', { at: 'key' }),
    );
  }
  const texts = metricTexts(metric).filter(({ at }) => at[1] === 'bad' || at[1] === 'total');
  const url = metric.http?.url ?? '';
  const names = (word: 'path' | 'interval') => texts.map(({ text }) => namesWord(text, word) || namesWord(url, word));
  for (const [index, named] of names('path').entries()) {
    const at = texts[index]?.at ?? [];
    if (!named)
      findings.push(invalid([...path, ...at], 'it does not name `$path`: both paths would read the same number'));
  }
  if (new Set(names('interval')).size > 1) {
    const at = texts.map(({ at: keys }) => keys[1]).join('` and `');
    findings.push(
      invalid(path, `only one of \`${at}\` names \`$interval\`: either both are of an interval, or both are counters`),
    );
  }
  return findings;
}

function limitFindings(metric: Metric, path: Path): Finding[] {
  const findings: Finding[] = [];
  if (metric.max === undefined) {
    findings.push(
      invalid(
        path,
        metric.switch?.count === 'mismatches'
          ? 'missing `max`: mismatches are of both paths together, so that there is no ratio to compare'
          : 'missing `max`: one number needs a limit; a ratio has `bad` and `total`',
      ),
    );
  }
  if (metric.margin !== undefined) {
    findings.push(
      invalid([...path, 'margin'], '`margin` is for a ratio, with `bad` and `total`; one number has `max`', {
        at: 'key',
      }),
    );
  }
  return findings;
}

const wordFindings = (metric: Metric, path: Path): Finding[] =>
  metricTexts(metric).flatMap(({ at, text }) =>
    metricWords(text)
      .filter(({ known }) => !known)
      .map(({ word }) =>
        invalid([...path, ...at], `there is no word "$${word}" in a metric`, { allowed: '$path, $interval' }),
      ),
  );
