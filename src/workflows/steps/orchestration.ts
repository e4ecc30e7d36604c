import type { Phase, Step } from '../../plan/index.ts';
import type { Run } from '../run.ts';

/** How the workflow carries out one step kind. Both ways can be interrupted and come again. */
export interface Orchestration {
  /** Answers with one line about what was done. */
  up(run: Run, phase: Phase, step: Step): Promise<string>;
  /** Null where there is nothing to undo. */
  down: ((run: Run, phase: Phase, step: Step) => Promise<string>) | null;
  /** It looks at `guards` itself. */
  watchesGuards: boolean;
  /** Once it is done there is no way back. */
  pointOfNoReturn: boolean;
}
