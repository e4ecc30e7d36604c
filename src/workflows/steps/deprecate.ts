import { byActivity } from './by-activity.ts';

export const deprecate = byActivity();
