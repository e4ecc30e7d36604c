import { randomBytes } from 'node:crypto';
import { InMemStorageProvider, Unleash as Client } from 'unleash-client';
import { withPercent } from '../../src/adapters/unleash/flag-state.ts';
import { type FlagRef, Unleash } from '../../src/adapters/unleash/unleash.ts';
import { createSwitch, type Ledger } from '../../src/switch/index.ts';
import { servers } from '../harness/servers.ts';

const REFRESH_MS = 500;
/**
 * Of two changes at once Unleash can serve clients the second with the next change only. Many runs change flags here,
 * and the last of them must not wait for ever: so something changes all the time.
 */
const ANOTHER_CHANGE_MS = 2_000;
const USERS = 200;

export type Side = 'old' | 'new';
/** How a service finds out which code serves a request, and runs it. */
export interface Service {
  serve(user: number, kind: 'read' | 'write', work: (side: Side) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

/** The flags as all services of the test see them: one client of the real Unleash that asks it twice a second. */
export class Flags {
  readonly #client: Client;
  readonly #unleash: Unleash;
  readonly #others: NodeJS.Timeout;

  private constructor(client: Client, unleash: Unleash) {
    this.#client = client;
    this.#unleash = unleash;
    const another = refOf(`another-${randomBytes(4).toString('hex')}`);
    let percent = 0;
    this.#others = setInterval(() => {
      percent = (percent + 1) % 100;
      const strategy = { title: 'another', groupId: another.flag, stickiness: 'default' };
      const signal = AbortSignal.timeout(ANOTHER_CHANGE_MS * 5);
      void unleash
        .read(another, signal)
        .then((state) => unleash.write(another, withPercent(state, percent, strategy), signal))
        .catch(() => undefined);
    }, ANOTHER_CHANGE_MS);
  }

  static async connect(): Promise<Flags> {
    const { url, adminToken, clientToken } = servers().unleash;
    const client = new Client({
      url: `${url}/api`,
      appName: 'playbooks',
      customHeaders: { Authorization: clientToken },
      refreshInterval: REFRESH_MS,
      disableMetrics: true,
      storageProvider: new InMemStorageProvider(),
    });
    client.on('warn', () => undefined).on('error', () => undefined);
    await new Promise<void>((resolve) => client.once('synchronized', resolve));
    return new Flags(client, new Unleash({ url, adminToken }));
  }

  isNew(flag: string, user: number): boolean {
    return this.#client.isEnabled(flag, { userId: userId(user) });
  }
  /** A service that asks unleash-client itself. */
  serves(flag: string): Service {
    return {
      serve: (user, _, work) => work(this.isNew(flag, user) ? 'new' : 'old'),
      close: () => Promise.resolve(),
    };
  }
  /**
   * A service with the switch: it tells the home ledger what it acts on, for steps that wait until every instance does. The
   * database's own dual write keeps both sides in step, so the new path is complete in itself.
   */
  switches(flag: string, ledger: Ledger): Service {
    type Work = (side: Side) => Promise<void>;
    const on = (side: Side) => (_: string, work: Work) => work(side);
    const path = createSwitch({
      flag,
      old: { read: on('old'), write: on('old') },
      new: { read: on('new'), write: on('new') },
      key: (user) => user,
      on: 'complete',
      unleash: this.#client,
      ledger,
      service: 'playbooks',
      // Twenty services begin at once in one process, on a machine that may be busy.
      ledgerTimeoutMs: 20_000,
      startTimeoutMs: 60_000,
      leaseMs: 30_000,
    });
    return {
      serve: (user, kind, work) => path[kind](userId(user), work),
      close: () => path.close(),
    };
  }
  /** Resolves when the client lets everybody onto the new path. */
  async untilAll(flag: string): Promise<void> {
    const all = (): boolean => Array.from({ length: USERS }, (_, user) => user).every((user) => this.isNew(flag, user));
    while (!all()) await new Promise<void>((resolve) => this.#client.once('changed', resolve));
  }
  /** What Unleash has of it, whole. */
  state(flag: string): Promise<unknown> {
    return this.#unleash.read(refOf(flag), AbortSignal.timeout(30_000));
  }
  close(): void {
    clearInterval(this.#others);
    this.#client.destroy();
  }
}

const userId = (user: number): string => String(user % USERS);
const refOf = (flag: string): FlagRef => ({
  project: 'default',
  environment: 'development',
  flag,
  type: 'release',
  description: '',
});
