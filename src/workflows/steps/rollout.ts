import { byActivity } from './by-activity.ts';

/** It watches its guards itself: what they say decides about the exposure. */
export const rollout = byActivity({ watchesGuards: true });
