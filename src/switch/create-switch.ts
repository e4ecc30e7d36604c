import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { FlagContext } from './flag-source.ts';
import type { Given, ReadSwitchOptions, ReadWriteSwitchOptions } from './options.ts';
import { settingsOf } from './options.ts';
import { metricsText, statusOf, type SwitchStatus } from './exposition.ts';
import { register } from './registry.ts';
import type { Stage } from './stage.ts';
import { Switching } from './switching.ts';

/** A switch between two ways to read. */
export interface ReadSwitch<RA extends unknown[], R> {
  /** Reads as the stage says. Rejects with what the authoritative side rejects with, or with `SwitchError`. */
  read(...args: RA): Promise<R>;
  /** The same switch, which asks the flag with this context. */
  with(context: FlagContext): Pick<ReadSwitch<RA, R>, 'read'>;
  /** Resolves when the first calls wait for nothing any more: the ledger has answered, or was waited for long enough. */
  ready(): Promise<void>;
  /** The stage of callers whom the flag does not let in; null: nobody has said yet. */
  stage(): Stage | null;
  status(): SwitchStatus;
  /** Prometheus's text format. */
  readonly metrics: { text(): string };
  /** Lets calls under way end, gives the lease back and stops. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A switch between two ways to read and to write. */
export interface ReadWriteSwitch<RA extends unknown[], R, WA extends unknown[], W> extends ReadSwitch<RA, R> {
  /** Writes as the stage says, and gives the authoritative side's result. */
  write(...args: WA): Promise<W>;
  with(context: FlagContext): Pick<ReadWriteSwitch<RA, R, WA, W>, 'read' | 'write'>;
}

/**
 * Joins an old and a new way to read and write, and goes from one to the other by the stages of docs/switch.md. Throws
 * `SwitchError` with code `OptionsInvalid`.
 */
export function createSwitch<RA extends unknown[], RO, RN, WA extends unknown[], WO, WN, CO = RO, CN = RN>(
  options: ReadWriteSwitchOptions<RA, RO, RN, WA, WO, WN, CO, CN>,
): ReadWriteSwitch<RA, RO | RN, WA, WO | WN>;
export function createSwitch<RA extends unknown[], RO, RN, CO = RO, CN = RN>(
  options: ReadSwitchOptions<RA, RO, RN, CO, CN>,
): ReadSwitch<RA, RO | RN>;
export function createSwitch(options: object): ReadWriteSwitch<unknown[], unknown, unknown[], unknown> {
  const given = options as Given;
  const settings = settingsOf(given);
  const { environment, service, instance } = given as { environment?: string; service?: string; instance?: string };
  const switching = new Switching(settings, given, {
    environment: environment ?? 'development',
    flag: settings.flag,
    service: service ?? '',
    instance: `${instance ?? hostname()}-${randomBytes(4).toString('hex')}`,
  });
  const forget = register(switching);
  const close = async (): Promise<void> => {
    forget();
    await switching.close();
  };
  return {
    read: (...args) => switching.read(args, undefined),
    write: (...args) => switching.write({ args, key: '', context: undefined, retried: false }),
    with: (context) => ({
      read: (...args) => switching.read(args, context),
      write: (...args) => switching.write({ args, key: '', context, retried: false }),
    }),
    ready: () => switching.ready,
    stage: () => switching.stage,
    status: () => statusOf(switching),
    metrics: { text: () => metricsText([switching]) },
    close,
    [Symbol.asyncDispose]: close,
  };
}
