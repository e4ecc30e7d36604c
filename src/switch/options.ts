import type { FlagContext, FlagSource } from './flag-source.ts';
import type { Ledger } from './ledger.ts';
import { isStage, type Path, type Stage } from './stage.ts';
import { SwitchError } from './switch-error.ts';
import type { UnleashClient } from './unleash-flags.ts';

export type Awaitable<T> = T | PromiseLike<T>;
export type Reader<A extends unknown[], R> = (...args: A) => Awaitable<R>;

/** One side of a switch that writes too. */
export interface Side<RA extends unknown[], R, WA extends unknown[], W> {
  read(this: void, ...args: RA): Awaitable<R>;
  write(this: void, ...args: WA): Awaitable<W>;
}

/** Which call a comparison found to differ. Not how: values stay where they are. */
export interface Mismatch {
  flag: string;
  stage: Stage;
  key: string | null;
}

/**
 * A function of a call's arguments. Reads and writes have different ones, so only the first, which they share, has a type.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- what follows the first is the service's to know
type OfCall<First, R> = (first: NoInfer<First>, ...rest: any[]) => R;

interface Shared<First> {
  /** The flag's name; the stages row has the same. */
  flag: string;
  /** Names what a call is about: whose errors are counted once a minute, whom the flag is asked for, what is repaired. */
  key?: OfCall<First, string | number | bigint> | undefined;
  /** What the flag is asked with; `{ userId: key }` without it. */
  context?: OfCall<First, FlagContext> | undefined;
  /** unleash-client's instance. */
  unleash?: UnleashClient | undefined;
  /** Another source of flags, such as `fromOpenFeature(client)`. */
  flags?: FlagSource | undefined;
  /** The home ledger, where the stage is: a `Pool` of `pg`. Without it the flag's variant is the stage. */
  ledger?: Ledger | undefined;
  /** Of the flag and of the stages row. Default `development`. */
  environment?: string | undefined;
  /** The service's name, as people know it. Needed with `ledger`. */
  service?: string | undefined;
  /** The instance's name; a random ending is added, so that a restarted process is another one. Default: the host's. */
  instance?: string | undefined;
  /** Never below this stage. */
  minimumStage?: Stage | undefined;
  /** The stage to act on until ledger or flag have answered for the first time. */
  bootstrap?: Stage | undefined;
  /** The stage of callers whom the flag lets in, where it is above the row's. Default `live`. */
  on?: Stage | undefined;
  /** What a write to one side only does when the lease is lost: see docs/switch.md. Default `refuse`. */
  leaseLost?: 'refuse' | 'go-on' | undefined;
  /** Calls that take so long count as slow, in milliseconds. Default 500. */
  slowMs?: number | undefined;
  /** How often the ledger is told and asked, in milliseconds. Default 5,000. */
  beatMs?: number | undefined;
  /** How long the lease lives, in milliseconds. Default 15,000. */
  leaseMs?: number | undefined;
  /** How long an answer of the ledger is waited for, in milliseconds. Default 3,000. */
  ledgerTimeoutMs?: number | undefined;
  /** How long the first calls wait for the ledger, in milliseconds. Default 5,000. */
  startTimeoutMs?: number | undefined;
  /** For tests: numbers from 0 up to 1. */
  random?: (() => number) | undefined;
}

interface Comparing<RA extends unknown[], RO, RN, CO, CN> {
  /** Brings the results to the form in which they are compared. Called before the caller gets its result. */
  clean?: { old?: ((result: RO) => CO) | undefined; new?: ((result: RN) => CN) | undefined } | undefined;
  /** Whether both are the same. Without it they are compared deeply, as `assert.deepStrictEqual` does. */
  compare?: ((old: CO, fresh: CN) => boolean) | undefined;
  /** Whether a difference is known and doesn't count. */
  ignore?: ((old: NoInfer<RO>, fresh: NoInfer<RN>, ...args: RA) => boolean) | undefined;
  /** Share of reads that are compared at `shadow` and `live`, 0 to 1. Default 0.1. */
  sample?: number | undefined;
  /** How long the read that is only compared may take, in milliseconds. Default 1,000. */
  shadowTimeoutMs?: number | undefined;
  onMismatch?: ((mismatch: Mismatch) => void) | undefined;
}

export interface ReadSwitchOptions<RA extends unknown[], RO, RN, CO, CN>
  extends Shared<RA[0]>,
    Comparing<RA, RO, RN, CO, CN> {
  old: Reader<RA, RO>;
  new: Reader<RA, RN>;
}

export interface ReadWriteSwitchOptions<RA extends unknown[], RO, RN, WA extends unknown[], WO, WN, CO, CN>
  extends Shared<RA[0] | WA[0]>,
    Comparing<RA, RO, RN, CO, CN> {
  old: Side<RA, RO, WA, WO>;
  new: Side<RA, RN, WA, WN>;
  key: OfCall<RA[0] | WA[0], string | number | bigint>;
  /** Whether an error says that the write came from an older stage and wrote nothing. Default: SQLSTATE SB001. */
  isFenced?: ((error: unknown) => boolean) | undefined;
  /** Whether a failed write may have been made all the same. Default: what connections and servers die of. */
  isUnknown?: ((error: unknown) => boolean) | undefined;
  /**
   * Brings `lacking` to what the other side holds under the key: it reads there and writes here, as often as it is
   * asked. Whoever gives it takes part in draining the queue.
   */
  repair?: ((key: string, lacking: Path) => Awaitable<unknown>) | undefined;
  /** How often the queue is looked at, in milliseconds. Default 5,000. */
  repairEveryMs?: number | undefined;
  /** Queues the key before each write of both sides and takes it off after: survives a crash between the two. Default false. */
  journal?: boolean | undefined;
}

/** The options as the parts of a switch use them: checked, and without the types of one service. */
export interface Settings {
  flag: string;
  old: AnySide;
  new: AnySide;
  key: ((...args: unknown[]) => string | number | bigint) | null;
  context: ((...args: unknown[]) => FlagContext) | null;
  minimumStage: Stage | null;
  bootstrap: Stage | null;
  on: Stage;
  refusesWhenLost: boolean;
  sample: number;
  shadowTimeoutMs: number;
  clean: Readonly<Record<Path, ((result: unknown) => unknown) | null>>;
  compare: ((old: unknown, fresh: unknown) => boolean) | null;
  ignore: ((old: unknown, fresh: unknown, ...args: unknown[]) => boolean) | null;
  onMismatch: ((mismatch: Mismatch) => void) | null;
  isFenced: (error: unknown) => boolean;
  isUnknown: (error: unknown) => boolean;
  repair: ((key: string, lacking: Path) => Awaitable<unknown>) | null;
  journal: boolean;
  slowMs: number;
  beatMs: number;
  leaseMs: number;
  ledgerTimeoutMs: number;
  startTimeoutMs: number;
  repairEveryMs: number;
  random: () => number;
}
export interface AnySide {
  read(...args: unknown[]): unknown;
  write: ((...args: unknown[]) => unknown) | null;
}
/** Any options, before they are checked: JavaScript doesn't know our types. */
export type Given = Record<string, unknown> & { ledger?: Ledger; unleash?: UnleashClient; flags?: FlagSource };

/** SQLSTATE of what a fence of the engine raises: the write came from an older stage, and nothing was written. */
export const FENCED_SQLSTATE = 'SB001';
const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code;
const isFencedByDefault = (error: unknown): boolean => codeOf(error) === FENCED_SQLSTATE;
/** Connections that ended in the middle (class 08), servers that were shut down (57P), transactions in doubt (40003). */
const UNKNOWN = /^(08...|57P..|40003|ECONNRESET|EPIPE|ETIMEDOUT)$/;
const isUnknownByDefault = (error: unknown): boolean => {
  if (UNKNOWN.test(String(codeOf(error)))) return true;
  return error instanceof Error && error.message.startsWith('Connection terminated');
};

export function settingsOf(given: Given): Settings {
  const check = new Check(given);
  const writes = typeof given['old'] !== 'function';
  const settings: Settings = {
    flag: check.text('flag'),
    old: check.side('old', writes),
    new: check.side('new', writes),
    key: check.fn('key'),
    context: check.fn('context'),
    minimumStage: check.stage('minimumStage'),
    bootstrap: check.stage('bootstrap'),
    on: check.stage('on') ?? 'live',
    refusesWhenLost: check.oneOf('leaseLost', ['refuse', 'go-on']) === 'refuse',
    sample: check.number('sample', 0.1, 0, 1),
    shadowTimeoutMs: check.number('shadowTimeoutMs', 1_000, 1),
    clean: { old: check.fn('clean', 'old'), new: check.fn('clean', 'new') },
    compare: check.fn('compare'),
    ignore: check.fn('ignore'),
    onMismatch: check.fn('onMismatch'),
    isFenced: check.fn('isFenced') ?? isFencedByDefault,
    isUnknown: check.fn('isUnknown') ?? isUnknownByDefault,
    repair: check.fn('repair'),
    journal: given['journal'] === true,
    slowMs: check.number('slowMs', 500, 0),
    beatMs: check.number('beatMs', 5_000, 1),
    leaseMs: check.number('leaseMs', 15_000, 1),
    ledgerTimeoutMs: check.number('ledgerTimeoutMs', 3_000, 1),
    startTimeoutMs: check.number('startTimeoutMs', 5_000, 0),
    repairEveryMs: check.number('repairEveryMs', 5_000, 1),
    random: check.fn('random') ?? Math.random,
  };
  if (writes && settings.key === null)
    check.refuse('key', 'a switch that writes needs it: it names what is to be repaired');
  if (given.unleash !== undefined && given.flags !== undefined)
    check.refuse('flags', 'give `unleash` or `flags`, not both');
  if (given.ledger !== undefined) check.text('service');
  if (settings.leaseMs < 2 * settings.beatMs) check.refuse('leaseMs', 'it has to be at least twice `beatMs`');
  return settings;
}

type AnyFunction = (...args: unknown[]) => never;

class Check {
  readonly #given: Given;
  constructor(given: Given) {
    this.#given = given;
  }
  refuse(option: string, why: string): never {
    throw new SwitchError('OptionsInvalid', `createSwitch: \`${option}\`: ${why}`);
  }
  text(option: string): string {
    const value = this.#given[option];
    return typeof value === 'string' && value !== '' ? value : this.refuse(option, 'a text is needed');
  }
  /** What kind of function can't be seen: that is for the compiler of the caller. */
  fn(option: string, part?: Path): AnyFunction | null {
    const given = this.#given[option];
    const value = part === undefined ? given : (given as Record<Path, unknown> | undefined)?.[part];
    if (value === undefined && (part === undefined || typeof given !== 'function')) return null;
    return typeof value === 'function' ? (value as AnyFunction) : this.refuse(option, 'a function is needed');
  }
  stage(option: string): Stage | null {
    const value = this.#given[option];
    if (value === undefined) return null;
    return isStage(value) ? value : this.refuse(option, 'it is none of the six stages');
  }
  oneOf(option: string, [first, ...others]: readonly [string, ...string[]]): string {
    const value = this.#given[option] ?? first;
    const known = typeof value === 'string' && [first, ...others].includes(value);
    return known ? value : this.refuse(option, `it is one of ${[first, ...others].join(', ')}`);
  }
  number(option: string, otherwise: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#given[option] ?? otherwise;
    const fits = typeof value === 'number' && value >= min && value <= max;
    return fits ? value : this.refuse(option, `a number from ${min}${max < 2 ? ` to ${max}` : ''} on is needed`);
  }
  side(option: 'old' | 'new', writes: boolean): AnySide {
    const value = this.#given[option] as AnySide | AnySide['read'] | undefined;
    if (typeof value === 'function') {
      if (writes) this.refuse(option, 'the other side writes, so this one has to be `{ read, write }` too');
      return { read: value, write: null };
    }
    if (typeof value?.read !== 'function') this.refuse(option, 'a function, or `{ read, write }`, is needed');
    if (typeof value.write !== 'function')
      this.refuse(option, '`write` is missing; give a plain function where nothing is written');
    return value;
  }
}
