import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Whether what Postgres says may hold values that nobody is to be told: personal data of a labelled table. Asked where
 * an error is made, so that whatever becomes of it (a note, a log line, another error's message) holds none.
 */
const hidden = new AsyncLocalStorage<true>();

/** Runs `work`; where `hide`, messages of Postgres that may quote values have only their condition's name in it. */
export const hidingValues = <T>(hide: boolean, work: () => Promise<T>): Promise<T> =>
  hide ? hidden.run(true, work) : work();

export const valuesAreHidden = (): boolean => hidden.getStore() === true;
