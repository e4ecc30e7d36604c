import { expect, test } from 'vitest';
import { SwitchbackError } from '../../src/messages/index.ts';
import {
  filled,
  MERGE_STEP,
  MERGE_TABLES,
  SPLIT_STEP,
  SPLIT_TABLES,
  type SyncRoom,
  syncHall,
} from './table-sync-room.ts';

const hall = syncHall();
const SEED = Number(process.env['TABLE_SYNC_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** Writes of each client at least: more of them hunt for what is rare. */
const WRITES = Number(process.env['TABLE_SYNC_WRITES'] ?? 60);

/** A generator of its own for each client, so that a run can be repeated as far as the clock allows. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Deadlocks and the like: the client tries again, as clients must. Duplicates and missing rows of others are its luck. */
async function asClient(room: SyncRoom, sql: string): Promise<'done' | 'again' | 'refused'> {
  try {
    await room.query(sql);
    return 'done';
  } catch (error) {
    if (!(error instanceof SwitchbackError)) throw error;
    const state = String(error.fields['sqlState']);
    if (state === '40P01' || state === '40001') return 'again';
    // 21000: an upsert of a row that is still in the old table only; see docs/steps/dual-write.md.
    if (state.startsWith('23') || state === '21000') return 'refused';
    throw error;
  }
}

interface Tables {
  old: { name: string; key: string };
  young: { name: string; key: string };
  /** Columns that a row of each needs beside those that are kept in step. */
  oldMore: [string, string];
  youngMore: [string, string];
}

/** One write of one of four clients, two on either side; all of them fight for few rows. */
function write(
  { old, young, oldMore, youngMore }: Tables,
  side: 'old' | 'new',
  pick: (below: number) => number,
): string {
  const ids = 40;
  const id = 1 + pick(ids);
  const word = `w${pick(1_000)}`;
  const { name, key } = side === 'old' ? old : young;
  const [first, second] = side === 'old' ? ['bio', 'city'] : ['about', 'place'];
  const [moreNames, moreValues] = side === 'old' ? oldMore : youngMore;
  switch (pick(8)) {
    case 0:
      return `DELETE FROM %.${name} WHERE ${key} = ${id}`;
    case 1:
      return `UPDATE %.${name} SET ${key} = ${1 + pick(ids)} WHERE ${key} = ${id}`;
    case 2:
      return `INSERT INTO %.${name} (${key}, ${first}, ${second}${moreNames}) VALUES (${id}, '${word}', 'City ${word}'${moreValues})`;
    case 3:
      return `INSERT INTO %.${name} (${key}, ${first}${moreNames}) VALUES (${id}, '${word}'${moreValues}) ON CONFLICT (${key}) DO UPDATE SET ${first} = excluded.${first}`;
    case 4:
      return `UPDATE %.${name} SET ${first} = '${word}', ${second} = NULL WHERE ${key} BETWEEN ${id} AND ${id + 3}`;
    default:
      return `UPDATE %.${name} SET ${pick(2) === 0 ? first : second} = 'Word ${word}' WHERE ${key} = ${id}`;
  }
}

async function fight(room: SyncRoom, tables: Tables, during: () => Promise<unknown>): Promise<Record<string, number>> {
  const over = new AbortController();
  const outcomes: Record<string, number> = {};
  const client = async (number: number): Promise<void> => {
    const pick = random(SEED + number);
    for (let writes = 0; writes < WRITES || !over.signal.aborted; writes += 1) {
      const sql = write(tables, number % 2 === 0 ? 'old' : 'new', pick);
      const outcome = await asClient(room, sql);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
  };
  const clients = [0, 1, 2, 3].map(client);
  const worked = await Promise.allSettled([during().finally(() => over.abort()), ...clients]);
  for (const one of worked) if (one.status === 'rejected') throw one.reason;
  return outcomes;
}

test(`split: old and new clients fight for the same rows while the backfill runs (TABLE_SYNC_SEED=${SEED})`, async () => {
  const room = await hall.room(
    `${SPLIT_TABLES.replace('REFERENCES users (id)', 'REFERENCES users (id) ON DELETE CASCADE')}; ${filled(2_000)}`,
  );
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  const tables: Tables = {
    old: { name: 'users', key: 'id' },
    young: { name: 'profiles', key: 'user_id' },
    oldMore: [', email', ", 'x'"],
    youngMore: ['', ''],
  };
  const outcomes = await fight(room, tables, () => sync.backfill({ chunk: { rows: 100, fixed: true } }));
  expect(outcomes['done']).toBeGreaterThan(100);
  const { note } = await sync.check({ onMismatch: 'fail' });
  expect(note).toContain('rows differ (1 pass)');
  // Independently of what the comparison thinks: both sides say the same, but for case.
  expect(
    await room.query(`SELECT u.id, bio, city, about, place FROM %.users u FULL JOIN %.profiles p ON p.user_id = u.id
      WHERE u.id IS NULL OR bio IS DISTINCT FROM about OR lower(city) IS DISTINCT FROM lower(place)`),
  ).toEqual([]);
});

test(`merge: the same (TABLE_SYNC_SEED=${SEED})`, async () => {
  const room = await hall.room(
    `${MERGE_TABLES}; INSERT INTO users (id, email) SELECT i, 'u' || i FROM generate_series(1, 2000) i; INSERT INTO profiles (user_id, bio, city) SELECT i, 'b' || i, 'oslo' FROM generate_series(1, 2000, 2) i; ANALYZE`,
  );
  const sync = room.sync(MERGE_STEP);
  await sync.up();
  const tables: Tables = {
    old: { name: 'profiles', key: 'user_id' },
    young: { name: 'users', key: 'id' },
    oldMore: ['', ''],
    youngMore: [', email', ", 'x'"],
  };
  const outcomes = await fight(room, tables, () => sync.backfill({ chunk: { rows: 100, fixed: true } }));
  expect(outcomes['done']).toBeGreaterThan(100);
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('rows differ (1 pass)');
  expect(
    await room.query(`SELECT u.id, bio, city, about, place FROM %.users u FULL JOIN %.profiles p ON p.user_id = u.id
      WHERE u.id IS NULL OR bio IS DISTINCT FROM about OR lower(city) IS DISTINCT FROM lower(place)`),
  ).toEqual([]);
});

test(`copy: the same, where rows come and go on either side (TABLE_SYNC_SEED=${SEED})`, async () => {
  const room = await hall.room(
    `CREATE TABLE people (id bigint PRIMARY KEY, bio text, city text); CREATE TABLE persons (id bigint PRIMARY KEY, about text, place text);
     INSERT INTO people SELECT i, 'b' || i, 'oslo' FROM generate_series(1, 2000) i; ANALYZE`,
  );
  const sync = room.sync({ ...SPLIT_STEP, from: { table: 'people', key: 'id' }, to: { table: 'persons', key: 'id' } });
  expect((await sync.up()).note).toContain('come and go on either side');
  const tables: Tables = {
    old: { name: 'people', key: 'id' },
    young: { name: 'persons', key: 'id' },
    oldMore: ['', ''],
    youngMore: ['', ''],
  };
  const outcomes = await fight(room, tables, () => sync.backfill({ chunk: { rows: 100, fixed: true } }));
  expect(outcomes['done']).toBeGreaterThan(100);
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('rows differ (1 pass)');
  expect(
    await room.query(`SELECT p.id, q.id AS other, bio, city, about, place FROM %.people p FULL JOIN %.persons q ON p.id = q.id
      WHERE p.id IS NULL OR q.id IS NULL OR bio IS DISTINCT FROM about OR lower(city) IS DISTINCT FROM lower(place)`),
  ).toEqual([]);
});

test(`what a client writes is what it reads, and the other side agrees, migrated or not (TABLE_SYNC_SEED=${SEED})`, async () => {
  const pick = random(SEED);
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(30)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  for (let turn = 0; turn < 120; turn += 1) {
    if (turn === 60) await sync.backfill();
    const id = 1 + pick(30);
    const side = pick(2) === 0 ? 'old' : 'new';
    const [table, key] = side === 'old' ? ['users', 'id'] : ['profiles', 'user_id'];
    const names = side === 'old' ? ['bio', 'city', 'email'] : ['about', 'place', 'theme'];
    const chosen = names.filter(() => pick(2) === 0);
    if (chosen.length === 0) continue;
    const values = chosen.map((name) => (name !== 'email' && pick(5) === 0 ? null : `Value ${turn}`));
    const set = chosen.map((name, index) => `${name} = $${index + 1}`).join(', ');
    const before = await room.query(`SELECT bio, city FROM %.users WHERE id = ${id}`);
    const [row] = await room.query(`UPDATE %.${table} SET ${set} WHERE ${key} = ${id} RETURNING ${key} AS id`, values);
    const [after] = await room.query(
      `SELECT u.*, p.* FROM %.users u LEFT JOIN %.profiles p ON p.user_id = u.id WHERE u.id = ${id}`,
    );
    if (row === undefined) continue;
    expect(chosen.map((name) => after?.[name])).toEqual(values);
    if (after?.['user_id'] === null) {
      // Nobody has migrated it, and nothing that counts was written.
      expect([{ bio: after['bio'], city: after['city'] }]).toEqual(before);
      continue;
    }
    expect([after?.['bio'], after?.['city']?.toLowerCase()]).toEqual([
      after?.['about'],
      after?.['place']?.toLowerCase(),
    ]);
  }
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 30 rows differ');
});
