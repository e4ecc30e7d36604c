import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/**
 * Clients of an application: each reads and writes rows of its own all the time and knows what they must be. Whatever
 * fails, and whatever answer is wrong, is kept; a statement that waits too long for a lock fails.
 */
export const CLIENTS = 20;
export const USERS = 6_000;
const EVENTS = 1_000;
/** Many tries of a ladder: a client that waited as long for a lock has waited behind whoever we wait for. */
export const CLIENT_LOCK_TIMEOUT_MS = 8_000;
const REST_MS = 25;

export const FIXTURE = `SET search_path = public;
  CREATE TABLE teams (id int PRIMARY KEY, name text, n int NOT NULL DEFAULT 0);
  CREATE TABLE users (id int PRIMARY KEY, email text, age int, team int, n int NOT NULL DEFAULT 0, pad text DEFAULT repeat('x', 160));
  CREATE TABLE events (id int NOT NULL, at int NOT NULL, kind text NOT NULL, user_id int, n int NOT NULL DEFAULT 0, PRIMARY KEY (id, at, kind))
    PARTITION BY RANGE (at);
  CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100);
  CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (100) TO (200) PARTITION BY LIST (kind);
  CREATE TABLE "events 2 x" PARTITION OF events_2 FOR VALUES IN ('x');
  CREATE TABLE events_2_rest PARTITION OF events_2 DEFAULT;
  INSERT INTO teams SELECT i, 't' || i FROM generate_series(0, ${CLIENTS - 1}) i;
  INSERT INTO users SELECT i, 'u' || i || '@example.com', i % 90, i % ${CLIENTS} FROM generate_series(0, ${USERS - 1}) i;
  INSERT INTO events SELECT i, i % 200, CASE WHEN i % 2 = 0 THEN 'x' ELSE 'y' END, i FROM generate_series(0, ${EVENTS - 1}) i;
  ANALYZE`;

export type Random = () => number;
/** Mulberry32: numbers from 0 to 1, the same for the same seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What the rows must be: `id` → the counter that its only writer keeps, and for events where they are. */
interface Model {
  users: Map<number, number>;
  teams: Map<number, number>;
  events: Map<number, { at: number; kind: string; n: number }>;
}
export interface Traffic {
  faults: string[];
  statements(): number;
  /** Values that were written into the column `rating`, which the plan adds. */
  ratings: ReadonlyMap<number, string>;
  /** Rows that were written into the table `notes`, which the plan makes. */
  notes: ReadonlySet<string>;
  /** What the rows must be now that it has ended, in the order of `ROWS`. */
  end(): Promise<Record<string, string>[]>;
}
/** All rows, by what clients know of them. */
export const ROWS = `SELECT * FROM (
    SELECT 'users' AS of, id::text AS id, n::text AS n, '' AS place FROM users
    UNION ALL SELECT 'teams', id::text, n::text, '' FROM teams
    UNION ALL SELECT 'events', id::text, n::text, at || kind FROM events) rows
  ORDER BY of COLLATE "C", id COLLATE "C"`;

export async function traffic(url: string, random: Random): Promise<Traffic> {
  const model: Model = { users: new Map(), teams: new Map(), events: new Map() };
  for (let id = 0; id < USERS; id++) model.users.set(id, 0);
  for (let id = 0; id < CLIENTS; id++) model.teams.set(id, 0);
  for (let id = 0; id < EVENTS; id++) model.events.set(id, { at: id % 200, kind: id % 2 === 0 ? 'x' : 'y', n: 0 });
  const faults: string[] = [];
  const counter = { statements: 0 };
  const over = new AbortController();
  const clients = await Promise.all(
    Array.from(
      { length: CLIENTS },
      async (_, number) => new Client(number, await connect(url), { model, random, faults, counter }),
    ),
  );
  const newcomer = new Newcomer(await connect(url), random, faults);
  const running = [...clients, newcomer].map(async (client) => {
    while (!over.signal.aborted) {
      await client.act();
      await sleep(REST_MS * (0.5 + random()));
    }
    await client.end();
  });
  return {
    faults,
    statements: () => counter.statements,
    ratings: newcomer.ratings,
    notes: newcomer.notes,
    async end() {
      over.abort();
      await Promise.all(running);
      return rowsOf(model);
    },
  };
}

function rowsOf({ users, teams, events }: Model): Record<string, string>[] {
  const rows = [
    ...[...users].map(([id, n]) => ({ of: 'users', id: String(id), n: String(n), place: '' })),
    ...[...teams].map(([id, n]) => ({ of: 'teams', id: String(id), n: String(n), place: '' })),
    ...[...events].map(([id, { at, kind, n }]) => ({
      of: 'events',
      id: String(id),
      n: String(n),
      place: `${at}${kind}`,
    })),
  ];
  const key = ({ of, id }: { of: string; id: string }): string => `${of} ${id}`;
  return rows.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'web',
    options: `-c lock_timeout=${CLIENT_LOCK_TIMEOUT_MS}`,
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

interface Shared {
  model: Model;
  random: Random;
  faults: string[];
  counter: { statements: number };
}

/** One client: the rows whose number leaves its own when divided by the number of clients, and those that it adds. */
class Client {
  readonly #number: number;
  readonly #client: pg.Client;
  readonly #shared: Shared;
  #next: number;
  constructor(number: number, client: pg.Client, shared: Shared) {
    this.#number = number;
    this.#client = client;
    this.#shared = shared;
    this.#next = USERS * 10 + number;
  }

  async act(): Promise<void> {
    const acts = [this.#readUser, this.#writeUser, this.#addUser, this.#event, this.#moveEvent, this.#both, this.#team];
    const act = acts[Math.floor(this.#shared.random() * acts.length)] ?? this.#readUser;
    try {
      await act.call(this);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      this.#shared.faults.push(`${act.name}: ${code ?? ''} ${message}`);
    }
  }
  end(): Promise<void> {
    return this.#client.end();
  }

  /** Prepared, as drivers do: the same plan is used again after the table has changed. */
  async #run(text: string, values: unknown[]): Promise<Record<string, unknown>[]> {
    this.#shared.counter.statements += 1;
    const { rows } = await this.#client.query<Record<string, unknown>>({ name: text.slice(0, 60), text, values });
    return rows;
  }
  #expect(found: unknown, wanted: unknown): void {
    const [is, must] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (is !== must) throw new Error(`is ${is}, must be ${must}`);
  }
  #own(among: number): number {
    return Math.floor((this.#shared.random() * among) / CLIENTS) * CLIENTS + this.#number;
  }

  async #readUser(): Promise<void> {
    const id = this.#own(USERS);
    const rows = await this.#run('SELECT u.n, t.name FROM users u JOIN teams t ON t.id = u.team WHERE u.id = $1', [id]);
    this.#expect(rows, [{ n: this.#shared.model.users.get(id), name: `t${this.#number}` }]);
  }
  async #writeUser(): Promise<void> {
    const id = this.#own(USERS);
    const n = (this.#shared.model.users.get(id) ?? 0) + 1;
    this.#expect(await this.#run('UPDATE users SET n = n + 1 WHERE id = $1 RETURNING n', [id]), [{ n }]);
    this.#shared.model.users.set(id, n);
  }
  /** Rows come, and every second one goes again. */
  async #addUser(): Promise<void> {
    const id = (this.#next += CLIENTS);
    const values = [id, `u${id}@example.com`, 7, this.#number];
    await this.#run('INSERT INTO users (id, email, age, team) VALUES ($1, $2, $3, $4)', values);
    this.#shared.model.users.set(id, 0);
    if (this.#shared.random() < 0.5) return;
    this.#expect(await this.#run('DELETE FROM users WHERE id = $1 RETURNING n', [id]), [{ n: 0 }]);
    this.#shared.model.users.delete(id);
  }
  async #event(): Promise<void> {
    const id = (this.#next += CLIENTS);
    const event = { at: Math.floor(this.#shared.random() * 200), kind: 'x', n: 0 };
    await this.#run('INSERT INTO events (id, at, kind, user_id) VALUES ($1, $2, $3, $4)', [
      id,
      event.at,
      event.kind,
      this.#own(USERS),
    ]);
    this.#shared.model.events.set(id, event);
    const found = await this.#run('SELECT at, kind, n FROM events WHERE id = $1', [id]);
    this.#expect(found, [event]);
  }
  /** From one partition to another. */
  async #moveEvent(): Promise<void> {
    const id = this.#own(EVENTS);
    const known = this.#shared.model.events.get(id) ?? { at: 0, kind: '', n: 0 };
    const moved = { at: (known.at + 77) % 200, kind: known.kind === 'x' ? 'y' : 'x', n: known.n + 1 };
    const rows = await this.#run('UPDATE events SET at = $2, kind = $3, n = n + 1 WHERE id = $1 RETURNING n', [
      id,
      moved.at,
      moved.kind,
    ]);
    this.#expect(rows, [{ n: moved.n }]);
    this.#shared.model.events.set(id, moved);
  }
  async #both(): Promise<void> {
    const [id, event] = [this.#own(USERS), this.#own(EVENTS)];
    const known = this.#shared.model.events.get(event) ?? { at: 0, kind: '', n: 0 };
    const n = (this.#shared.model.users.get(id) ?? 0) + 1;
    const kept = this.#shared.random() < 0.7;
    await this.#client.query('BEGIN');
    try {
      this.#expect(await this.#run('UPDATE users SET n = n + 1 WHERE id = $1 RETURNING n', [id]), [{ n }]);
      await sleep(this.#shared.random() * 20);
      this.#expect(await this.#run('UPDATE events SET n = n + 1 WHERE id = $1 RETURNING n', [event]), [
        { n: known.n + 1 },
      ]);
      await this.#client.query(kept ? 'COMMIT' : 'ROLLBACK');
    } catch (error) {
      await this.#client.query('ROLLBACK');
      throw error;
    }
    if (!kept) return;
    this.#shared.model.users.set(id, n);
    this.#shared.model.events.set(event, { ...known, n: known.n + 1 });
  }
  async #team(): Promise<void> {
    const n = (this.#shared.model.teams.get(this.#number) ?? 0) + 1;
    this.#expect(await this.#run('UPDATE teams SET n = n + 1 WHERE id = $1 RETURNING n', [this.#number]), [{ n }]);
    this.#shared.model.teams.set(this.#number, n);
  }
}

/** What isn't there yet, or no more: a column, a table. */
const NOT_THERE = ['42703', '42P01'];

/** A client of the new version: it uses what the plan makes as soon as that is there. */
class Newcomer {
  readonly ratings = new Map<number, string>();
  readonly notes = new Set<string>();
  readonly #client: pg.Client;
  readonly #random: Random;
  readonly #faults: string[];
  constructor(client: pg.Client, random: Random, faults: string[]) {
    this.#client = client;
    this.#random = random;
    this.#faults = faults;
  }
  async act(): Promise<void> {
    const [id, value] = [Math.floor(this.#random() * USERS), String(2 + Math.floor(this.#random() * 1_000))];
    try {
      if (this.#random() < 0.5) {
        await this.#client.query('UPDATE users SET rating = $2 WHERE id = $1', [id, value]);
        this.ratings.set(id, value);
      } else {
        const text = `${id} ${value}`;
        await this.#client.query('INSERT INTO notes (user_id, body) VALUES ($1, $2)', [id, text]);
        this.notes.add(text);
      }
    } catch (error) {
      const { code = '', message } = error as { code?: string; message: string };
      if (!NOT_THERE.includes(code)) this.#faults.push(`newcomer: ${code} ${message}`);
    }
  }
  end(): Promise<void> {
    return this.#client.end();
  }
}
