import { byActivity } from './by-activity.ts';

/** Looking changes nothing: there is nothing to undo. */
export const check = byActivity({ down: null });
