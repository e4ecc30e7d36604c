import type { GateVerdict, MetricFinding } from '../analysis/gate-verdict.ts';
import { countWords, evidenceWords, rateWords } from '../analysis/gate-words.ts';
import { type Reading, sourceOf } from './gate-readings.ts';

/** What a gate knows, in few words for the status: each metric's evidence, and whose source is silent. */
export const gateWords = ({ metrics }: GateVerdict, readings: readonly Reading[]): string =>
  [...silentWords(readings), ...metrics.filter(({ says }) => says !== 'no-data').map(metricWords)].join('; ');

/** `prometheus silent, 2 of 3 metrics (errors: no series for it)`. */
function silentWords(readings: readonly Reading[]): string[] {
  const silent = readings.filter((reading) => reading.silent !== null);
  return [...new Set(silent.map(({ metric }) => sourceOf(metric)))].map((source) => {
    const [first, ...more] = silent.filter(({ metric }) => sourceOf(metric) === source);
    const count = `${1 + more.length} of ${readings.length} metrics`;
    return `${source} silent, ${count} (${first?.metric.name}: ${first?.silent})`;
  });
}

function metricWords({ name, counts, words, says }: MetricFinding): string {
  if (counts === null) return `${name} ${words}`;
  const rate = ({ bad, total }: { bad: number; total: number }): string =>
    total === 0 ? 'unused' : rateWords(bad / total);
  const { samples, rollBack, pass } = counts;
  const seen = `${name} ${rate(counts.new)} (old ${rate(counts.old)}) of ${countWords(counts.new.total)}`;
  if (says === 'pass') return `${seen}, good`;
  const few =
    samples.seen < samples.needed ? [`${countWords(samples.seen)} of ${countWords(samples.needed)} samples`] : [];
  const better = pass === null ? [] : [`evidence for ${evidenceWords(pass.evidence)} of ${pass.needed}`];
  const against = `against ${evidenceWords(rollBack.evidence)} of ${countWords(rollBack.needed)}`;
  return [seen, ...few, ...better, against].join(', ');
}
