/** Where a switch learns whom the flag lets in: unleash-client, or any provider of OpenFeature. */
export interface FlagContext {
  [key: string]: string | number | Date | undefined | Record<string, string | number | undefined>;
  userId?: string;
  sessionId?: string;
}

export interface FlagAnswer {
  /** Whether the flag is on for this caller. */
  on: boolean;
  /** The name of the caller's variant; null where there is none. */
  variant: string | null;
}

export interface FlagSource {
  ask(flag: string, context: FlagContext): FlagAnswer | Promise<FlagAnswer>;
  /** Percent (0 to 100, whole) of callers that this copy of the flag lets in. 0: nobody, so that nobody asks. */
  exposure(flag: string): number;
  /** Whether the flags are known from a server, and not only from a file or from nothing. */
  heard(): boolean;
  /** Calls `changed` whenever flags may have changed, until the answer is called. */
  watch(changed: () => void): () => void;
  /** Counts a call that the flag wasn't asked for, so that the flag's usage stays true. */
  count?(flag: string, onNew: boolean): void;
}

/** Nobody decides exposure: the stage alone counts. */
export const NO_FLAGS: FlagSource = {
  ask: () => ({ on: false, variant: null }),
  exposure: () => 0,
  heard: () => false,
  watch: () => () => undefined,
};
