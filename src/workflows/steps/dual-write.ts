import { byActivity } from './by-activity.ts';

export const dualWrite = byActivity();
