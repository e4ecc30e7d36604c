import fc from 'fast-check';
import { expect, test } from 'vitest';
import { updateRows } from '../../src/adapters/postgres/backfill-change.ts';
import type { DualWriteDetail } from '../../src/adapters/postgres/dual-write-function.ts';
import { readTableShape } from '../../src/adapters/postgres/table-shape.ts';
import { type DataRoom, dataRoom, effects, users } from './room.ts';

const { dualWrite, backfill, verify } = effects;

test('clients write, move, delete and insert while the backfill runs: nothing lost, no ghost, nothing unmigrated', async () => {
  const room = await dataRoom(users(4_000));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const over = new AbortController();
  const last = new Map<number, string>();
  /** Each client has rows of its own, so that the last value it wrote is the one that must be there. */
  const client = async (number: number): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i++) {
      const id = 1 + ((i * 4 * 37 + number) % 4_000);
      const name = `Client${number} Write${i}`;
      const [given, family] = name.split(' ');
      if (i % 9 === 0) {
        await room.query('DELETE FROM public.users WHERE id = $1', [id]);
        last.delete(id);
      } else if (i % 9 === 1) {
        // A key that goes past the cursor or the upper bound, and comes back.
        await room.query('UPDATE public.users SET id = -id WHERE id = $1', [id]);
        await room.query('UPDATE public.users SET id = id + 100000 WHERE id = -$1::bigint', [id]);
        await room.query(
          'UPDATE public.users SET id = id + $1::bigint - 100000 + $1::bigint WHERE id = 100000 - $1::bigint',
          [id],
        );
      } else if (i % 9 === 2) {
        await room.query(
          'INSERT INTO public.users (id, given_name, family_name) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET given_name = excluded.given_name, family_name = excluded.family_name',
          [id, given ?? '', family ?? ''],
        );
        last.set(id, name);
      } else {
        const sql =
          i % 2 === 0
            ? 'UPDATE public.users SET full_name = $2 WHERE id = $1 RETURNING 1 AS one'
            : "UPDATE public.users SET given_name = split_part($2, ' ', 1), family_name = split_part($2, ' ', 2) WHERE id = $1 RETURNING 1 AS one";
        if ((await room.query(sql, [id, name])).length > 0) last.set(id, name);
      }
    }
  };
  const clients = [0, 1, 2, 3].map(client);
  await backfill.up(
    room.backfill({ chunk: { rows: 50, fixed: true }, parallelism: 2, throttle: { maxRowsPerSecond: 4_000 } }),
    room.bench.context(),
  );
  over.abort();
  await Promise.all(clients);
  expect((await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toContain(
    'rows differ (1 pass)',
  );
  const rows = new Map(
    (await room.query('SELECT id, full_name FROM public.users')).map((row) => [Number(row['id']), row['full_name']]),
  );
  expect(last.size).toBeGreaterThan(50);
  for (const [id, name] of last) expect([id, rows.get(id)]).toEqual([id, name]);
});

interface Person {
  full: string | null;
  given: string | null;
  family: string | null;
  migrated: boolean;
}
type Change = Partial<Pick<Person, 'full' | 'given' | 'family'>> | 'chunk' | 'unrelated';
const up = (full: string | null): Pick<Person, 'given' | 'family'> => {
  const space = full?.indexOf(' ') ?? -1;
  return full === null || space < 0
    ? { given: full, family: null }
    : { given: full.slice(0, space), family: full.slice(space + 1) };
};
const down = ({ given, family }: Pick<Person, 'given' | 'family'>): string | null =>
  given === null ? null : family === null ? given : `${given} ${family}`;

/** What a row must be after a change, in words: the side that was written counts; of both, the new one. */
function expected(before: Person, change: Change): Person {
  if (change === 'chunk') return before.migrated ? before : { ...before, ...up(before.full), migrated: true };
  const stored = before.migrated ? before : { ...before, given: null, family: null };
  const logical = { ...before, ...(before.migrated ? {} : up(before.full)), migrated: true };
  if (change === 'unrelated') return logical;
  const differs = (name: 'full' | 'given' | 'family') => name in change && change[name] !== stored[name];
  const after = { ...logical };
  for (const name of ['full', 'given', 'family'] as const) if (differs(name)) after[name] = change[name] ?? null;
  const newSide = differs('given') || differs('family');
  if (!newSide) return differs('full') ? { ...after, ...up(after.full) } : after;
  const agrees =
    differs('full') &&
    down(up(after.full)) === down(after) &&
    up(after.full).given === after.given &&
    up(after.full).family === after.family;
  return agrees ? after : { ...after, full: down(after) };
}

test('random writes of old and new clients, before and after a row is migrated, do what the model says', async () => {
  const room = await dataRoom(users(0));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const chunk = await chunkStatement(room);
  const name = fc.option(fc.stringMatching(/^[ab ]{0,4}$/), { nil: null });
  const change = fc.oneof(
    fc.record({ full: name }),
    fc.record({ given: name }),
    fc.record({ family: name }),
    fc.record({ given: name, family: name }),
    fc.record({ full: name, given: name }),
    fc.constantFrom('chunk' as const, 'unrelated' as const),
  );
  await fc.assert(
    fc.asyncProperty(name, fc.array(change, { maxLength: 8 }), async (first, changes) => {
      await room.query('BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE public.users; COMMIT');
      await room.database.transaction(async (session) => {
        await session.query('SET LOCAL session_replication_role = replica');
        await session.query('INSERT INTO public.users (id, full_name) VALUES (1, $1)', [first]);
      });
      let person: Person = { full: first, given: null, family: null, migrated: false };
      for (const next of [...changes, 'chunk' as const]) {
        person = expected(person, next);
        await apply(room, next, chunk);
      }
      const [row] = await room.query(
        'SELECT full_name AS full, given_name AS given, family_name AS family FROM public.users',
      );
      expect(row).toEqual({ full: person.full, given: person.given, family: person.family });
    }),
    { numRuns: 60 },
  );
});

const COLUMNS = { full: 'full_name', given: 'given_name', family: 'family_name' } as const;
async function apply(room: DataRoom, change: Change, chunk: string): Promise<void> {
  if (change === 'chunk') return void (await room.query(chunk));
  if (change === 'unrelated')
    return void (await room.query("UPDATE public.users SET note = coalesce(note, '') || 'x'"));
  const names = Object.keys(change) as (keyof typeof COLUMNS)[];
  await room.query(
    `UPDATE public.users SET ${names.map((name, index) => `${COLUMNS[name]} = $${index + 1}`).join(', ')}`,
    names.map((name) => change[name] ?? null),
  );
}

/** The statement with which a chunk of the backfill changes its rows. */
async function chunkStatement(room: DataRoom): Promise<string> {
  const detail = JSON.parse(
    (await room.value("SELECT detail->'dualWrite' FROM switchback.steps WHERE step = 'sync'")) ?? '{}',
  ) as DualWriteDetail;
  const shape = await readTableShape(room.database, 'public', 'users');
  return updateRows({ shape, set: detail.up, marker: detail.marker, where: null });
}
