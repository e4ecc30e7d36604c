import { byActivity } from './by-activity.ts';

export const verify = byActivity();
