import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import type { Stage } from '../../src/switch/index.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

/** A flag of the test's own in the file's home ledger, with the engine's side of it in the test's hands. */
export interface Place {
  flag: string;
  url: string;
  pool: pg.Pool;
  /** Sets the stage as the engine does: the generation rises. */
  setStage(stage: Stage): Promise<number>;
  /** Instances whose lease is alive, oldest first. */
  instances(): Promise<InstanceRow[]>;
  /** Resolves when every instance with a lease, and at least one, says that it acts on the generation. */
  acknowledged(generation: number): Promise<InstanceRow[]>;
  repairs(): Promise<{ key: string; side: string; error_class: string; failures: string; attempts: number }[]>;
}
export interface InstanceRow {
  instance: string;
  service: string;
  stage: Stage;
  generation: string;
  exposure: number;
  counts: Record<string, unknown>;
}

/** Short enough for tests, and a lease that a loaded machine doesn't lose by accident. */
export const BEATS = { beatMs: 100, leaseMs: 10_000, repairEveryMs: 100 } as const;

/** A home ledger for the tests of a file. Called at its top. */
export function ledgerOfFile(): () => Place {
  let home: FreshDatabase;
  let pool: pg.Pool;
  beforeAll(async () => {
    home = await freshDatabase('switch');
    const database = new Database('home', { url: home.url });
    await upgradeLedger(database, { home: true });
    await database.close();
    pool = new pg.Pool({ connectionString: home.url, max: 5 });
    pool.on('error', () => undefined);
  });
  afterAll(async () => {
    await pool.end();
    await home.drop();
  });
  return () => placeIn(home.url, pool, `flag-${randomBytes(5).toString('hex')}`);
}

function placeIn(url: string, pool: pg.Pool, flag: string): Place {
  const instances = async (): Promise<InstanceRow[]> => {
    const { rows } = await pool.query<InstanceRow>(
      `SELECT instance, service, stage, generation, exposure, counts FROM switchback.instances
       WHERE flag = $1 AND lease_until > clock_timestamp() ORDER BY began_at`,
      [flag],
    );
    return rows;
  };
  return {
    ...{ flag, url, pool, instances },
    async setStage(stage) {
      const { rows } = await pool.query<{ generation: string }>(
        `INSERT INTO switchback.stages AS s (environment, flag, stage, generation, migration)
         VALUES ('development', $1, $2, 1, 'm')
         ON CONFLICT (environment, flag) DO UPDATE SET stage = excluded.stage, generation = s.generation + 1
         RETURNING generation`,
        [flag, stage],
      );
      return Number(rows[0]?.generation);
    },
    acknowledged: (generation) =>
      until(async () => {
        const alive = await instances();
        return alive.length > 0 && alive.every((row) => Number(row.generation) >= generation) ? alive : null;
      }),
    async repairs() {
      const { rows } = await pool.query(
        'SELECT key, side, error_class, failures::text, attempts FROM switchback.repairs WHERE flag = $1 ORDER BY id',
        [flag],
      );
      return rows as Awaited<ReturnType<Place['repairs']>>;
    },
  };
}

/** A pool as a service has one. It ends with the test. */
export function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 5 });
  pool.on('error', () => undefined);
  onTestFinished(() => pool.end());
  return pool;
}

const LOOK_EVERY_MS = 15;
/** What `look` finds, as soon as it finds something. */
export async function until<T>(look: () => T | null | false | Promise<T | null | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== null && found !== false) return found;
    await pause(LOOK_EVERY_MS);
  }
}

/** A store that the test can fail, hold up and look into. Each write of a key adds to what it holds. */
export class Store {
  readonly rows = new Map<string, string[]>();
  readonly log: string[] = [];
  failsWith: Error | null = null;
  /** Calls wait for it before they do anything. */
  gate: Promise<void> | null = null;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  read = async (key: string): Promise<string> => {
    this.log.push(`read ${key}`);
    await this.gate;
    if (this.failsWith !== null) throw this.failsWith;
    return `${this.#name}:${(this.rows.get(key) ?? []).join(',')}`;
  };

  write = async (key: string, value: string): Promise<string> => {
    this.log.push(`write ${key}`);
    await this.gate;
    if (this.failsWith !== null) throw this.failsWith;
    this.rows.set(key, [...(this.rows.get(key) ?? []), value]);
    return `${this.#name} has ${value}`;
  };

  /** Calls wait from now on; until the answer is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gate = promise;
    return () => {
      this.gate = null;
      resolve();
    };
  }
}

export const sqlError = (code: string, message = 'value 4711 is secret'): Error =>
  Object.assign(new Error(message), { code });
