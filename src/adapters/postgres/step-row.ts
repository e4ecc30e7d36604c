import type { RunRef } from '../../messages/index.ts';

/** A step of a run: the first columns of every table of the ledger that keeps something of one. */
export interface StepRef {
  run: RunRef;
  step: string;
}

/** Picks a step's rows, with `stepValues` as the first parameters. */
export const OF_STEP = 'migration = $1 AND version = $2 AND epoch = $3 AND step = $4';

export const stepValues = ({ run, step }: StepRef): [string, number, number, string] => [
  run.migration,
  run.version,
  run.epoch,
  step,
];
