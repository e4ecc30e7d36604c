import type { Backend } from './blockers.ts';
import type { Database } from './database.ts';

/** A connection of its own, past any pooler, as `Database.session` gives it. */
export type DirectSession = Parameters<Parameters<Database['session']>[0]>[0];

/** The backend of a session that shares it with nobody, for as long as it lasts. */
export const ownSession = ({ pid }: DirectSession): Backend => ({ pid, began: null });
