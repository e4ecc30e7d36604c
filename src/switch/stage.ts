/** The stages of a read and write path, in order. Only neighbours follow each other. */
export const STAGES = ['off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete'] as const;
export type Stage = (typeof STAGES)[number];
export type Path = 'old' | 'new';

/** What a stage does. The first of `writes` is the authoritative one; where there is a second, both are written. */
export interface Acts {
  reads: Path;
  /** Whether reads call the other side too, to compare. */
  compares: boolean;
  writes: readonly [first: Path, second: Path | null];
}
export const ACTS: Readonly<Record<Stage, Acts>> = {
  off: { reads: 'old', compares: false, writes: ['old', null] },
  'dual-write': { reads: 'old', compares: false, writes: ['old', 'new'] },
  shadow: { reads: 'old', compares: true, writes: ['old', 'new'] },
  live: { reads: 'new', compares: true, writes: ['new', 'old'] },
  'ramp-down': { reads: 'new', compares: false, writes: ['new', 'old'] },
  complete: { reads: 'new', compares: false, writes: ['new', null] },
};

export const rankOf = (stage: Stage): number => STAGES.indexOf(stage);
export const isStage = (name: unknown): name is Stage => STAGES.includes(name as Stage);
export const higherOf = (a: Stage, b: Stage): Stage => (rankOf(a) >= rankOf(b) ? a : b);
export const otherOf = (path: Path): Path => (path === 'old' ? 'new' : 'old');
