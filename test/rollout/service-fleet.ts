import pg from 'pg';
import { onTestFinished } from 'vitest';
import { Unleash } from 'unleash-client';
import { createSwitch, type ReadWriteSwitch, type Stage } from '../../src/switch/index.ts';
import { servers } from '../harness/servers.ts';

/** Clients ask Unleash so often; its own cache lives a second. */
const REFRESH_MS = 1_000;
const INSTANCES = 3;
const KEYS_EACH = 5;

interface Instance {
  unleash: Unleash;
  names: ReadWriteSwitch<[id: string], string | null, [id: string, name: string], void>;
}

/**
 * Three instances of a service whose names move from one table to another, each with a client of Unleash, a lease and
 * traffic of its own: every write is read again and kept in mind.
 */
export interface Fleet {
  flag: string;
  instances: readonly Instance[];
  /** Stages that instances acted on at one time, as pairs; to see that none were further apart than neighbours. */
  mixed: ReadonlySet<string>;
  stages(): (Stage | null)[];
  /** Of the users 0 to 999, those whom every instance's client lets in. */
  letIn(): string[];
  /** Ends the traffic; answers what was acknowledged to callers, by key. */
  rest(): Promise<ReadonlyMap<string, string>>;
  /** What a table holds, by key. */
  rows(side: 'old' | 'new'): Promise<ReadonlyMap<string, string>>;
}

export const tablesOf = (flag: string): { old: string; new: string } => ({
  old: `old_${flag.replaceAll('-', '_')}`,
  new: `new_${flag.replaceAll('-', '_')}`,
});

export async function startFleet(flag: string, urls: { app: string; home: string }): Promise<Fleet> {
  const app = new pg.Pool({ connectionString: urls.app, max: 2 * INSTANCES });
  const ledger = new pg.Pool({ connectionString: urls.home, max: INSTANCES });
  const tables = tablesOf(flag);
  for (const table of Object.values(tables)) await app.query(`CREATE TABLE ${table} (id text PRIMARY KEY, name text)`);
  const sideOf = (table: string) => ({
    async read(id: string): Promise<string | null> {
      const { rows } = await app.query<{ name: string }>(`SELECT name FROM ${table} WHERE id = $1`, [id]);
      return rows[0]?.name ?? null;
    },
    async write(id: string, name: string): Promise<void> {
      await app.query(`INSERT INTO ${table} VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, [
        id,
        name,
      ]);
    },
  });
  const [old, fresh] = [sideOf(tables.old), sideOf(tables.new)];
  const instances = Array.from({ length: INSTANCES }, (_, i): Instance => {
    const unleash = clientOf(`${flag}-${i}`);
    const names = createSwitch({
      flag,
      old,
      new: fresh,
      key: (id) => id,
      repair: async (id, lacking) => {
        const name = await (lacking === 'old' ? fresh : old).read(id);
        if (name !== null) await (lacking === 'old' ? old : fresh).write(id, name);
      },
      unleash,
      ledger,
      service: 'accounts',
      instance: `i-${i}`,
      beatMs: 200,
      repairEveryMs: 200,
    });
    return { unleash, names };
  });
  const traffic = trafficOf(instances);
  onTestFinished(async () => {
    await traffic.rest();
    for (const { names, unleash } of instances) {
      await names.close();
      unleash.destroy();
    }
    await Promise.all([app.end(), ledger.end()]);
  });
  return {
    flag,
    instances,
    mixed: traffic.mixed,
    stages: () => instances.map(({ names }) => names.stage()),
    letIn: () =>
      Array.from({ length: 1000 }, (_, user) => String(user)).filter((userId) =>
        instances.every(({ unleash }) => unleash.isEnabled(flag, { userId })),
      ),
    rest: traffic.rest,
    async rows(side) {
      const { rows } = await app.query<{ id: string; name: string }>(`SELECT id, name FROM ${tables[side]}`);
      return new Map(rows.map(({ id, name }) => [id, name]));
    },
  };
}

function clientOf(appName: string): Unleash {
  const { url, clientToken } = servers().unleash;
  const client = new Unleash({
    url: `${url}/api`,
    appName,
    customHeaders: { Authorization: clientToken },
    refreshInterval: REFRESH_MS,
    disableMetrics: true,
    skipInstanceCountWarning: true,
  });
  // Unleash on a loaded machine may be slow to answer once; the next refresh asks again.
  client.on('error', () => undefined);
  return client;
}

/** Each instance writes keys of its own, one call after the other, and reads back what it wrote. */
function trafficOf(instances: readonly Instance[]) {
  const acknowledged = new Map<string, string>();
  const mixed = new Set<string>();
  let over = false;
  const failures: unknown[] = [];
  const callsOf = async ({ names }: Instance, at: number): Promise<void> => {
    await names.ready();
    for (let n = 0; !over; n++) {
      const id = `${at}-${n % KEYS_EACH}`;
      for (const other of instances) mixed.add(JSON.stringify([names.stage(), other.names.stage()]));
      await names.write(id, String(n));
      acknowledged.set(id, String(n));
      const read = await names.read(id);
      if (read !== String(n)) failures.push(new Error(`key ${id}: ${read} was read after ${n} was written`));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const calls = instances.map((instance, at) => callsOf(instance, at).catch((error: unknown) => failures.push(error)));
  return {
    mixed,
    async rest(): Promise<ReadonlyMap<string, string>> {
      over = true;
      await Promise.all(calls);
      if (failures.length > 0)
        throw new AggregateError(failures.splice(0, 5), 'calls that failed or read something else');
      return acknowledged;
    },
  };
}
