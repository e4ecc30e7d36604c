import { byActivity } from './by-activity.ts';

export const flag = byActivity();
