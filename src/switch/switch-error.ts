/** What a switch refuses, each with what has and what hasn't been written. */
export const SWITCH_ERROR_CODES = {
  OptionsInvalid: 'The options of `createSwitch` are wrong; the message names the option.',
  StageUnknown: 'The ledger has not answered since the start, and there is neither `bootstrap` nor `minimumStage`.',
  LeaseLost:
    'The instance could not renew its lease, so the stage may have moved on. Nothing was written: one side alone might be the wrong one.',
  RepairNotQueued:
    'One side was written (`written`), the other was not, and the ledger could not take the key. Write again, or repair by hand.',
  Closed: 'The switch is closed.',
} as const;
export type SwitchErrorCode = keyof typeof SWITCH_ERROR_CODES;

/** A failure of the switch itself. What the two sides throw is passed on as it is. */
export class SwitchError extends Error {
  override readonly name = 'SwitchError';
  readonly code: SwitchErrorCode;
  /** The side that holds the write that the call was about; null where none does. */
  readonly written: 'old' | 'new' | null;

  constructor(
    code: SwitchErrorCode,
    message: string,
    options: { written?: 'old' | 'new' | null; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.written = options.written ?? null;
  }
}

/** What an error is, without what it says: messages of databases hold values. An SQLSTATE, a code, or a class. */
export function errorClassOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code === 'string' && /^[\w-]{1,40}$/.test(code)) return code;
  if (error instanceof Error) return /^[\w$]{1,60}$/.test(error.name) ? error.name : 'Error';
  return typeof error;
}
