import { type Draft, type DraftCondition, conditionsOf, stepsOf } from '../draft.ts';
import { type Finding, invalid, type Path } from '../finding.ts';
import type { Step, StepOf } from '../steps/index.ts';
import { durationMs } from '../values.ts';
import { unknownName } from './names.ts';

/** Values that are right by themselves and wrong together. */
export function valueFindings(draft: Draft): Finding[] {
  return [
    ...stepsOf(draft).flatMap(({ path, step }) =>
      step === null ? [] : [...timeFindings(step, path), ...kindFindings(step, path, draft)],
    ),
    ...conditionsOf(draft).flatMap((found) => [...conditionFindings(found), ...usageFindings(found, draft)]),
    ...draft.windows.flatMap(({ path, window }) => {
      if ('allow' in window) return positive(window.duration, [...path, 'duration']);
      const { from, to } = window;
      // A day is whole: it may be the first and the last.
      return Date.parse(from) < Date.parse(to) || (from === to && !to.includes('T'))
        ? []
        : [invalid([...path, 'to'], `the window ends (${to}) before it begins (${from})`)];
    }),
  ];
}

const positive = (duration: string | undefined, path: Path): Finding[] =>
  duration !== undefined && durationMs(duration) === 0
    ? [invalid(path, 'expected a duration of more than zero', { found: duration })]
    : [];

/** `low` must not be longer than `high`. */
function inOrder(low: [Path, string | undefined], high: [Path, string | undefined], words: string): Finding[] {
  if (low[1] === undefined || high[1] === undefined || durationMs(low[1]) <= durationMs(high[1])) return [];
  return [invalid(low[0], `${words} (${low[1]} > ${high[1]})`)];
}

function timeFindings(step: Step, path: Path): Finding[] {
  const at = (...keys: string[]): Path => [...path, ...keys];
  return [
    ...positive(step.timeout, at('timeout')),
    ...positive(step.retry.initialInterval, at('retry', 'initialInterval')),
    ...inOrder(
      [at('retry', 'initialInterval'), step.retry.initialInterval],
      [at('retry', 'maximumInterval'), step.retry.maximumInterval],
      'the first interval is longer than `maximumInterval`',
    ),
    ...kindTimes(step, at),
  ];
}

function kindTimes(step: Step, at: (...keys: string[]) => Path): Finding[] {
  switch (step.uses) {
    case 'ddl':
      return [
        ...positive(step.lockTimeout, at('lockTimeout')),
        ...positive(step.statementTimeout, at('statementTimeout')),
        ...inOrder(
          [at('lockTimeout'), step.lockTimeout],
          [at('statementTimeout'), step.statementTimeout],
          'the lock timeout is longer than `statementTimeout`',
        ),
      ];
    case 'backfill':
    case 'verify':
      return positive(step.chunk.targetTime, at('chunk', 'targetTime'));
    case 'check':
      return [
        ...positive(step.every, at('every')),
        ...positive(step.deadline, at('deadline')),
        ...inOrder(
          [at('every'), step.every],
          [at('deadline'), step.deadline],
          'it would not look again before the `deadline`',
        ),
      ];
    case 'wait':
      return inOrder([at('for'), step.for], [at('timeout'), step.timeout], 'it waits for longer than its `timeout`');
    case 'approval':
      return positive(step.expiresAfter, at('expiresAfter'));
    case 'call':
      return [
        ...positive(step.heartbeatTimeout, at('heartbeatTimeout')),
        ...inOrder(
          [at('heartbeatTimeout'), step.heartbeatTimeout],
          [at('timeout'), step.timeout],
          'the heartbeat timeout is longer than the `timeout`',
        ),
      ];
    case 'rollout': {
      const bake = step.ramp.reduce((sum, stop) => sum + durationMs(stop.bake), 0);
      return step.timeout !== undefined && bake > durationMs(step.timeout)
        ? [
            invalid(
              at('timeout'),
              `the ramp bakes for longer than the timeout (${Math.round(bake / 1000)}s > ${step.timeout})`,
            ),
          ]
        : [];
    }
    default:
      return [];
  }
}

function kindFindings(step: Step, path: Path, draft: Draft): Finding[] {
  switch (step.uses) {
    case 'flag':
      return flagFindings(step.flag, path, draft);
    case 'rollout':
      return [...flagFindings(step.flag, path, draft), ...rampFindings(step.ramp, path)];
    case 'dual-write':
      return step.from === undefined || step.to === undefined
        ? sideFindings(step.up, step.down, path)
        : tablesFindings({ from: step.from, to: step.to }, step, path);
    case 'backfill':
      return step.set === undefined
        ? leftOver(step, ['database', 'table', 'where'], path)
        : notEmpty(step.set, [...path, 'set']);
    case 'verify':
      return [
        ...(step.repairs === undefined ? [] : flagFindings(step.repairs, path, draft, 'repairs')),
        ...verifyFindings(step, path),
      ];
    default:
      return [];
  }
}

type SyncSide = NonNullable<StepOf<'dual-write'>['from']>;

/** A dual write between two tables: they are two, and their keys pair. */
function tablesFindings(
  { from, to }: { from: SyncSide; to: SyncSide },
  step: StepOf<'dual-write'>,
  path: Path,
): Finding[] {
  const [old, young] = [[from.key].flat(), [to.key].flat()];
  const inKey = (direction: 'up' | 'down', key: readonly string[]): Finding[] =>
    Object.keys(step[direction] ?? {})
      .filter((name) => key.includes(name))
      .map((name) =>
        invalid(
          [...path, direction, name],
          'it is part of the key, which pairs the rows and is carried over by itself',
          {
            at: 'key',
          },
        ),
      );
  return [
    ...(from.table === to.table ? [invalid([...path, 'to', 'table'], 'it is the old table itself')] : []),
    ...(old.length === young.length
      ? []
      : [invalid([...path, 'to', 'key'], `it takes as many columns as from.key: ${old.length}, not ${young.length}`)]),
    ...notEmpty(step.up, [...path, 'up']),
    ...notEmpty(step.down, [...path, 'down']),
    ...inKey('up', young),
    ...inKey('down', old),
  ];
}

const notEmpty = (columns: object | undefined, path: Path): Finding[] =>
  columns !== undefined && Object.keys(columns).length === 0
    ? [invalid(path, 'expected at least one column with its expression')]
    : [];

type VerifySide = NonNullable<StepOf<'verify'>['left']>;

/** A comparison of two tables: they are two, and what is compared has the same names on both sides. */
function acrossFindings(sides: { left: VerifySide; right: VerifySide }, step: object, path: Path): Finding[] {
  const { left, right } = sides;
  const aliases = ({ columns }: VerifySide): string[] => (Array.isArray(columns) ? columns : Object.keys(columns));
  const lacks = (name: 'left' | 'right', other: 'left' | 'right'): Finding[] =>
    aliases(sides[other])
      .filter((alias) => !aliases(sides[name]).includes(alias))
      .map((alias) =>
        invalid(
          [...path, name, 'columns'],
          `it lacks "${alias}", which ${other}.columns has; both sides have the same names`,
        ),
      );
  const keys = [left.key, right.key].map((key) => (key === undefined ? null : [key].flat().length));
  return [
    ...(left.database === right.database && left.schema === right.schema && left.table === right.table
      ? [invalid([...path, 'right', 'table'], 'it is the left side itself')]
      : []),
    ...lacks('left', 'right'),
    ...lacks('right', 'left'),
    ...[...notEmpty(left.columns, [...path, 'left', 'columns'])],
    ...(keys[0] !== null && keys[1] !== null && keys[0] !== keys[1]
      ? [invalid([...path, 'right', 'key'], `it has ${keys[1]} columns where left.key has ${keys[0]}`)]
      : []),
    ...(['database', 'table', 'expect', 'where'] as const)
      .filter((key) => (step as Record<string, unknown>)[key] !== undefined)
      .map((key) =>
        invalid([...path, key], `\`${key}\` says nothing beside \`left\` and \`right\`; leave one of them out`, {
          at: 'key',
        }),
      ),
  ];
}

function verifyFindings(step: StepOf<'verify'>, path: Path): Finding[] {
  if (step.left !== undefined && step.right !== undefined)
    return acrossFindings({ left: step.left, right: step.right }, step, path);
  return step.of !== undefined
    ? leftOver(step, ['database', 'table', 'expect', 'where'], path)
    : notEmpty(step.expect, [...path, 'expect']);
}

/** Fields that say nothing beside `of`, which brings its own. */
const leftOver = (step: object, keys: readonly string[], path: Path): Finding[] =>
  'of' in step && step.of !== undefined
    ? keys
        .filter((key) => (step as Record<string, unknown>)[key] !== undefined)
        .map((key) =>
          invalid([...path, key], `\`${key}\` comes from the step that \`of\` names; leave one of them out`, {
            at: 'key',
          }),
        )
    : [];

/** A plan that lists its flags lists all of them; one that lists none gets the defaults. */
function flagFindings(flag: string, path: Path, draft: Draft, field: 'flag' | 'repairs' = 'flag'): Finding[] {
  if (draft.flagNames.length === 0 || draft.flagNames.includes(flag)) return [];
  return [
    unknownName([...path, field], `flag "${flag}" is not in spec.flags, which lists others`, flag, draft.flagNames),
  ];
}

function rampFindings(ramp: readonly { percent?: number | undefined }[], path: Path): Finding[] {
  let before = 0;
  return ramp.flatMap(({ percent }, index) => {
    if (percent === undefined) return [];
    const falls = percent < before;
    const words = `the ramp goes down, from ${before} to ${percent} percent; a rollout only raises exposure`;
    before = Math.max(before, percent);
    return falls ? [invalid([...path, 'ramp', index, 'percent'], words)] : [];
  });
}

function sideFindings(up: Record<string, string>, down: Record<string, string> | undefined, path: Path): Finding[] {
  const both = Object.keys(down ?? {}).filter((column) => Object.hasOwn(up, column));
  return [
    ...notEmpty(up, [...path, 'up']),
    ...notEmpty(down, [...path, 'down']),
    ...both.map((column) =>
      invalid([...path, 'down', column], `column "${column}" is also in \`up\`: a column is either old or new`, {
        at: 'key',
      }),
    ),
  ];
}

const BOUNDED = ['sql', 'prometheus', 'flagUsage'] as const;

function conditionFindings({ path, condition }: DraftCondition): Finding[] {
  if (condition === null) return [];
  const findings: Finding[] = [];
  for (const source of BOUNDED) {
    const { max, min, equals } = condition[source] ?? { max: 0, min: 0, equals: undefined };
    if (max === undefined && min === undefined && equals === undefined) {
      findings.push(invalid([...path, source], 'it says nothing about the value: `max`, `min` or `equals` is missing'));
    }
  }
  for (const source of [...BOUNDED, 'http'] as const) {
    const { max, min } = condition[source] ?? {};
    if (max !== undefined && min !== undefined && min > max) {
      findings.push(invalid([...path, source, 'min'], `no value is at least ${min} and at most ${max}`));
    }
  }
  const { catalog } = condition;
  if (
    catalog !== undefined &&
    catalog.table === undefined &&
    catalog.column === undefined &&
    catalog.digest === undefined
  ) {
    findings.push(
      invalid([...path, 'catalog'], 'missing what to look for: `table`, `table` with `column`, or `digest`'),
    );
  }
  if (catalog?.column !== undefined && catalog.table === undefined) {
    findings.push(invalid([...path, 'catalog', 'column'], 'a column needs its `table`', { at: 'key' }));
  }
  return findings;
}

/** Unleash keeps two days of what clients report, and one of the hours is always touched in part. */
const USAGE_HOURS_MAX = 47;

function usageFindings({ path, condition }: DraftCondition, draft: Draft): Finding[] {
  const usage = condition?.flagUsage;
  if (usage === undefined) return [];
  const at = [...path, 'flagUsage'];
  return [
    ...flagFindings(usage.flag, at, draft),
    ...positive(usage.during, [...at, 'during']),
    ...(durationMs(usage.during) > USAGE_HOURS_MAX * 3_600_000
      ? [
          invalid([...at, 'during'], `Unleash keeps two days of it: at most ${USAGE_HOURS_MAX}h`, {
            found: usage.during,
          }),
        ]
      : []),
    ...(usage.enabled !== undefined && usage.variant !== undefined
      ? [
          invalid([...at, 'variant'], 'Unleash counts variants, or on and off, not both together; leave one out', {
            at: 'key',
          }),
        ]
      : []),
  ];
}
