import { randomBytes } from 'node:crypto';
import { InMemStorageProvider, Unleash as Client } from 'unleash-client';
import { withPercent } from '../../src/adapters/unleash/flag-state.ts';
import { type FlagRef, Unleash } from '../../src/adapters/unleash/unleash.ts';
import { servers } from '../harness/servers.ts';

const REFRESH_MS = 500;
/**
 * Of two changes at once Unleash can serve clients the second with the next change only. Many runs change flags here,
 * and the last of them must not wait for ever: so something changes all the time.
 */
const ANOTHER_CHANGE_MS = 2_000;
const USERS = 200;

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
    return this.#client.isEnabled(flag, { userId: String(user % USERS) });
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

const refOf = (flag: string): FlagRef => ({
  project: 'default',
  environment: 'development',
  flag,
  type: 'release',
  description: '',
});
