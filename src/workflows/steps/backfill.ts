import { byActivity } from './by-activity.ts';

export const backfill = byActivity();
