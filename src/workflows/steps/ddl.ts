import { byActivity } from './by-activity.ts';

export const ddl = byActivity();
