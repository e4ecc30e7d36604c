import { type ErrorCode, isEnd, type Status, SwitchbackError } from '../messages/index.ts';

/** What a script learns from how the command ended; the numbers are a public promise. */
export const EXIT = { done: 0, ended: 1, input: 2, unreachable: 3 } as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

const UNREACHABLE: readonly ErrorCode[] = [
  'TemporalUnreachable',
  'DatabaseUnreachable',
  'UnleashUnreachable',
  'MetricsUnreachable',
  'NoAnswer',
];
/** The input was wrong: the plan, the configuration, the command, or the moment for it. */
const INPUT: readonly ErrorCode[] = [
  'PlanInvalid',
  'PlanChanged',
  'BaseStateDiffers',
  'VersionUnfinished',
  'OtherNamespace',
  'RequirementUnmet',
  'UnknownDatabase',
  'ConfigInvalid',
  'UnknownMigration',
  'UsageInvalid',
  'Unsupported',
];

/** The exit code for an error; whatever isn't ours counts as a failure of the run. */
export function exitCodeOf(error: unknown): Exit {
  if (!(error instanceof SwitchbackError)) return EXIT.ended;
  return UNREACHABLE.includes(error.code) ? EXIT.unreachable : INPUT.includes(error.code) ? EXIT.input : EXIT.ended;
}

/** The exit code for a migration that was watched to its end. A run that was refused at its start had wrong input. */
export function exitCodeOfEnd(status: Pick<Status, 'status' | 'error'>): Exit {
  if (!isEnd(status.status) || status.status === 'completed') return EXIT.done;
  const refused = status.status === 'failed' && INPUT.some((code) => code === status.error?.code);
  return refused ? EXIT.input : EXIT.ended;
}
