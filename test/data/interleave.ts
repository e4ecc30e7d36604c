import type { Queryable } from '../../src/adapters/postgres/database.ts';
import { PostgresError } from '../../src/adapters/postgres/database-error.ts';
import { type BothWritten, type Cells, inserted, nextMarker, type Person, updated, type Way } from './sync-model.ts';

/**
 * Several sessions that write one table, and a model that is told of each write when its row lock is had. A session whose
 * row another one holds waits, as clients do, while the others go on; nobody waits in a circle.
 */
export interface Rooms {
  way: Way;
  both: BothWritten;
  table: string;
  marker: string;
  /** One for each client. */
  sessions: readonly Queryable[];
  /** Reads as the others see it, and brings the backfill's chunks and repairs. */
  random: () => number;
}
type Write =
  | {
      kind: 'update' | 'merge';
      key: number;
      set: { cells: Cells; region?: string; marker?: number | null; key?: number };
    }
  | { kind: 'insert' | 'copy' | 'upsert'; key: number; cells: Cells; region: string }
  | { kind: 'delete' | 'chunk' | 'repair'; key: number };

interface Session {
  query: Queryable;
  open: boolean;
  /** Rows as they were before this transaction wrote them; undefined where there was none. */
  undo: Map<number, Person | undefined>;
  waiting: { write: Write; done: Promise<Outcome> } | null;
  /** Whole rows that it has read. */
  read: { key: number; cells: Cells; marker: number | null; region: string }[];
}
type Outcome = { rows: number } | { sqlState: string };

const VALUES = [null, '', 'a', 'B', 'a b', 'A b', ' x', 'a b c'];
const MOVED_AWAY = '40001';
const REFUSED = '23000';

export class Interleaving {
  readonly #of: Rooms;
  readonly rows: Map<number, Person>;
  readonly #sessions: Session[];
  /** Who holds the lock of a key. */
  readonly #held = new Map<number, Session>();
  readonly log: string[] = [];
  #nextKey: number;

  constructor(of: Rooms, rows: Map<number, Person>) {
    this.#of = of;
    this.rows = rows;
    this.#nextKey = 1_000;
    this.#sessions = of.sessions.map((query) => ({ query, open: false, undo: new Map(), waiting: null, read: [] }));
  }

  async run(events: number): Promise<void> {
    for (let i = 0; i < events; i++) await this.#event();
    // Nobody waits in a circle: one of those that are open can always go on.
    for (;;) {
      const next = this.#sessions.find(({ open, waiting }) => open && waiting === null);
      if (next === undefined) return;
      await this.#end(next, 'COMMIT');
    }
  }

  #chance(of: number): boolean {
    return this.#of.random() < of;
  }
  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#of.random() * from.length)] as T;
  }

  async #event(): Promise<void> {
    const session = this.#pick(this.#sessions);
    if (session.waiting !== null) return;
    if (session.open && this.#chance(0.3)) return this.#end(session, this.#chance(0.75) ? 'COMMIT' : 'ROLLBACK');
    if (!session.open && this.#chance(0.35)) {
      await session.query.query('BEGIN');
      session.open = true;
      this.#say(session, 'BEGIN');
    }
    if (this.#chance(0.1)) return this.#reads(session);
    await this.#writes(session, this.#write(session));
  }

  #say(session: Session, what: string): void {
    this.log.push(`${this.#sessions.indexOf(session)}: ${what}`);
  }

  /** A row as the session sees it, to be written back later. */
  async #reads(session: Session): Promise<void> {
    const key = this.#pick([...this.rows.keys()]);
    const [row] = await session.query.query(`SELECT * FROM ${this.#of.table} WHERE id = ${key}`);
    if (row === undefined) return;
    const { id: _, region, [this.#of.marker]: marker, ...cells } = row;
    session.read.push({ key, cells, marker: marker == null ? null : Number(marker), region: region ?? 'eu' });
    this.#say(session, `reads ${key}: ${JSON.stringify(row)}`);
  }

  #cells(names: readonly string[]): Cells {
    return Object.fromEntries(names.map((name) => [name, this.#pick(VALUES)]));
  }

  #write(session: Session): Write {
    const { way } = this.#of;
    const key = this.#pick([...this.rows.keys(), 1, 2, 3]);
    const some = (names: readonly string[]): readonly string[] => {
      const chosen = names.filter(() => this.#chance(0.6));
      return chosen.length === 0 ? [this.#pick(names)] : chosen;
    };
    const sides = (): Cells =>
      this.#pick([
        () => this.#cells(some(way.oldSide)),
        () => this.#cells(some(way.newSide)),
        () => this.#cells(some([...way.oldSide, ...way.newSide])),
      ])();
    const kind = this.#of.random();
    if (kind < 0.1)
      return { kind: this.#chance(0.8) ? 'insert' : 'copy', key: this.#nextKey++, cells: sides(), region: 'eu' };
    if (kind < 0.18 && way.partitioned !== true) return { kind: 'upsert', key, cells: sides(), region: 'eu' };
    if (kind < 0.24) return { kind: 'delete', key };
    if (kind < 0.34) return { kind: 'chunk', key };
    if (kind < 0.42) return { kind: 'repair', key };
    if (kind < 0.5) return { kind: 'update', key, set: { cells: { note: this.#pick(VALUES) } } };
    if (kind < 0.56)
      return { kind: 'update', key, set: { cells: this.#chance(0.5) ? {} : sides(), key: this.#nextKey++ } };
    if (kind < 0.64 && way.partitioned === true)
      return {
        kind: 'update',
        key,
        set: { cells: this.#chance(0.5) ? {} : sides(), region: this.#pick(['eu', 'us']) },
      };
    const read = kind < 0.76 ? session.read.pop() : undefined;
    if (read !== undefined) {
      const { key: of, cells, marker, region } = read;
      return { kind: 'update', key: of, set: { cells: { ...cells, ...sides() }, marker, region } };
    }
    return { kind: this.#chance(0.8) ? 'update' : 'merge', key, set: { cells: sides() } };
  }

  /** Starts the write; where its row is held by another session it stays open until that one ends. */
  async #writes(session: Session, write: Write): Promise<void> {
    // A row that goes and comes again in one transaction is another row to those who wait for it: they find nothing.
    const gone = session.undo.get(write.key) !== undefined && this.rows.get(write.key) === undefined;
    if (write.kind === 'upsert' && gone) return;
    const holder = this.#held.get(write.key);
    if (holder === undefined || holder === session) {
      this.#say(session, describe(write));
      return this.#done(session, write, await this.#send(session, write));
    }
    // A row that was waited for and then doesn't fit any more stays locked until the end of the transaction, under
    // whatever key it has by then: only who ends at once waits for more than a key of its own.
    if (session.open && write.kind !== 'upsert') return;
    const someoneWaits = this.#sessions.some((other) => other.waiting?.write.key === write.key);
    if (someoneWaits || holder.waiting !== null || !waits(write, holder.undo.get(write.key))) return;
    this.#say(session, `${describe(write)}, and waits for ${this.#sessions.indexOf(holder)}`);
    session.waiting = { write, done: this.#send(session, write) };
  }

  async #send(session: Session, write: Write): Promise<Outcome> {
    try {
      const rows = await session.query.query(statement(this.#of, write));
      return { rows: rows.length };
    } catch (error) {
      if (error instanceof PostgresError) return { sqlState: error.sqlState };
      throw error;
    }
  }

  /** Tells the model, which knows the row as it is at this moment. */
  async #done(session: Session, write: Write, outcome: Outcome): Promise<void> {
    const after = this.#expected(write);
    if ('sqlState' in outcome) {
      const moved = outcome.sqlState === MOVED_AWAY && this.#of.way.partitioned === true;
      if (!moved && !(after === 'refused' && outcome.sqlState === REFUSED))
        throw new Error(`${describe(write)} failed with ${outcome.sqlState}; the model has ${JSON.stringify(after)}`);
      if (session.open) await this.#end(session, 'ROLLBACK');
      return;
    }
    if (after === 'refused') throw new Error(`${describe(write)} was not refused`);
    for (const [key, person] of after) {
      if (!session.undo.has(key)) session.undo.set(key, this.rows.get(key));
      if (session.open) this.#held.set(key, session);
      if (person === undefined) this.rows.delete(key);
      else this.rows.set(key, person);
    }
    if (!session.open) session.undo.clear();
  }

  /** The rows that the write changes, as they will be; undefined for one that goes. */
  #expected(write: Write): Map<number, Person | undefined> | 'refused' {
    const { way, both } = this.#of;
    const row = this.rows.get(write.key);
    const one = (person: Person | 'refused'): Map<number, Person | undefined> | 'refused' =>
      person === 'refused' ? person : new Map([[write.key, person]]);
    const empty = Object.fromEntries([...way.oldSide, ...way.newSide, 'note'].map((name) => [name, null]));
    switch (write.kind) {
      case 'insert':
      case 'copy':
        return one(inserted(way, both, { cells: { ...empty, ...write.cells }, marker: null, region: write.region }));
      case 'upsert': {
        const excluded = inserted(way, both, {
          cells: { ...empty, ...write.cells },
          marker: null,
          region: write.region,
        });
        if (excluded === 'refused' || row === undefined) return one(excluded);
        const cells = Object.fromEntries(Object.keys(write.cells).map((name) => [name, excluded.cells[name] ?? null]));
        return one(updated(way, both, row, { cells }));
      }
      case 'delete':
        return row === undefined ? new Map() : new Map([[write.key, undefined]]);
      case 'chunk':
        if (row === undefined || row.marker !== null) return new Map();
        return one({ ...row, cells: { ...row.cells, ...way.upOf(row.cells) }, marker: 2 });
      case 'repair':
        if (row === undefined || row.marker === 1) return new Map();
        return one({ ...row, cells: { ...row.cells, ...way.upOf(row.cells) }, marker: nextMarker(row.marker) });
      case 'update':
      case 'merge': {
        if (row === undefined) return new Map();
        const after = updated(way, both, row, write.set);
        if (after === 'refused' || write.set.key === undefined) return one(after);
        return new Map([
          [write.key, undefined],
          [write.set.key, after],
        ]);
      }
    }
  }

  async #end(session: Session, how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await session.query.query(how);
    this.#say(session, how);
    session.open = false;
    const held = [...this.#held].filter(([, holder]) => holder === session).map(([key]) => key);
    for (const key of held) this.#held.delete(key);
    if (how === 'ROLLBACK') {
      for (const [key, person] of session.undo) {
        if (person === undefined) this.rows.delete(key);
        else this.rows.set(key, person);
      }
      // What it read of its own work was never there.
      session.read = [];
    }
    session.undo.clear();
    for (const waiter of this.#sessions) {
      if (waiter.waiting === null || !held.includes(waiter.waiting.write.key)) continue;
      const { write, done } = waiter.waiting;
      const outcome = await done;
      waiter.waiting = null;
      this.#say(waiter, `has it: ${describe(write)}`);
      await this.#done(waiter, write, outcome);
    }
  }
}

/** Whether the write waits for the row that another one holds: it must see it as it was before. */
const waits = ({ kind }: Write, before: Person | undefined): boolean =>
  kind === 'upsert' || (before !== undefined && (kind !== 'repair' || before.marker !== 1));

const describe = (write: Write): string => JSON.stringify(write);
const literal = (value: string | number | null | undefined): string =>
  value == null ? 'NULL' : typeof value === 'number' ? String(value) : `'${value}'`;

function statement({ way, table, marker }: Rooms, write: Write): string {
  const list = (cells: Cells): string => Object.keys(cells).join(', ');
  const values = (cells: Cells): string => Object.values(cells).map(literal).join(', ');
  switch (write.kind) {
    case 'insert':
      return `INSERT INTO ${table} (id, region, ${list(write.cells)}) VALUES (${write.key}, '${write.region}', ${values(write.cells)}) RETURNING 1`;
    case 'copy': {
      const line = [write.key, write.region, ...Object.values(write.cells).map((value) => value ?? '\\\\N')].join(
        '\\t',
      );
      return `COPY ${table} (id, region, ${list(write.cells)}) FROM PROGRAM 'printf "%b\\\\n" "${line}"'`;
    }
    case 'upsert':
      return `INSERT INTO ${table} AS t (id, region, ${list(write.cells)}) VALUES (${write.key}, '${write.region}', ${values(write.cells)})
        ON CONFLICT (id) DO UPDATE SET ${Object.keys(write.cells)
          .map((name) => `${name} = excluded.${name}`)
          .join(', ')} RETURNING 1`;
    case 'delete':
      return `DELETE FROM ${table} WHERE id = ${write.key} RETURNING 1`;
    case 'chunk':
      return `UPDATE ${table} SET ${ups(way)}, ${marker} = 2 WHERE id > ${write.key - 1} AND id <= ${write.key} AND ${marker} IS NULL RETURNING 1`;
    case 'repair':
      return `UPDATE ${table} SET ${ups(way)}, ${marker} = CASE WHEN ${marker} IS NULL THEN 2 WHEN ${marker} = 0 THEN 3 ELSE ${marker} + 1 END
        WHERE id = ${write.key} AND ${marker} IS DISTINCT FROM 1 RETURNING 1`;
    case 'update':
    case 'merge': {
      const { cells, region, marker: given, key } = write.set;
      const set = [
        ...Object.entries(cells).map(([name, value]) => `${name} = ${literal(value)}`),
        ...(region === undefined ? [] : [`region = '${region}'`]),
        ...(given === undefined ? [] : [`${marker} = ${literal(given)}`]),
        ...(key === undefined ? [] : [`id = ${key}`]),
      ].join(', ');
      return write.kind === 'update'
        ? `UPDATE ${table} SET ${set} WHERE id = ${write.key} RETURNING 1`
        : `MERGE INTO ${table} t USING (SELECT ${write.key} AS id) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET ${set}`;
    }
  }
}

const ups = ({ up }: Way): string =>
  Object.entries(up)
    .map(([name, expression]) => `${name} = (${expression})`)
    .join(', ');
