import { byActivity } from './by-activity.ts';

export const retire = byActivity();
