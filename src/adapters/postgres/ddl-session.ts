import type { Database } from './database.ts';

/** A connection of its own, past any pooler, as `Database.session` gives it. */
export type DirectSession = Parameters<Parameters<Database['session']>[0]>[0];
