import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { planOf, startEngine } from '../harness/engine.ts';

type PhaseInput = PlanInput['spec']['phases'][number];
const on = { database: 'app' } as const;
const TABLE = {
  name: 'expand',
  steps: [
    {
      id: 'table',
      uses: 'ddl',
      ...on,
      up: 'CREATE TABLE profiles (user_id bigint PRIMARY KEY REFERENCES users (id), about text)',
    },
  ],
} satisfies PhaseInput;
const MIGRATE = {
  name: 'migrate',
  steps: [
    {
      id: 'sync',
      uses: 'dual-write',
      ...on,
      from: { table: 'users', key: 'id' },
      to: { table: 'profiles', key: 'user_id' },
      up: { about: 'bio' },
      down: { bio: 'about' },
    },
    { id: 'fill', uses: 'backfill', of: 'sync', needs: ['sync'] },
    { id: 'compare', uses: 'verify', of: 'sync', needs: ['fill'], onMismatch: 'fail' },
    { id: 'retire', uses: 'retire', ...on, column: 'users.bio', needs: ['compare'] },
  ],
} satisfies PhaseInput;

test('a table is split by a whole run, taken back by another one, and leaves no trace of itself', {
  timeout: 60_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  const value = async (sql: string): Promise<string | null> =>
    Object.values((await app.query(sql))[0] ?? {})[0] ?? null;
  const left = `SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'public.users'::regclass)
    + (SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND NOT attisdropped AND attname LIKE 'zz%')
    + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace AND proname ~ '^(sync|guard|empty)_')`;
  try {
    await app.query(
      `CREATE TABLE public.users (id bigint PRIMARY KEY, bio text);
       INSERT INTO public.users SELECT i, 'bio ' || i FROM generate_series(1, 500) i`,
    );
    const wrong = {
      id: 'wrong',
      uses: 'ddl',
      ...on,
      up: 'ALTER TABLE nowhere ADD COLUMN x int',
      needs: ['retire'],
    } satisfies PhaseInput['steps'][number];
    const back = planOf(engine.name('back'), [TABLE, { ...MIGRATE, steps: [...MIGRATE.steps, wrong] }]);
    const run = await engine.switchback.start(back, { requestedBy: 'ana@example.com' });
    await expect(run.result()).rejects.toMatchObject({ code: 'RolledBack' });
    expect(await value("SELECT to_regclass('public.profiles')")).toBeNull();
    expect(await value(left)).toBe('0');
    expect(await value("SELECT count(*) FROM public.users WHERE bio = 'bio ' || id")).toBe('500');

    const through = planOf(engine.name('through'), [TABLE, MIGRATE]);
    const done = await (await engine.switchback.start(through, { requestedBy: 'ana@example.com' })).result();
    expect(done.outcome).toBe('completed');
    expect(await value("SELECT count(*) FROM public.profiles WHERE about = 'bio ' || user_id")).toBe('500');
    // New clients write the new table; the old column is kept current under its other name.
    await app.query("UPDATE public.profiles SET about = 'mine' WHERE user_id = 7");
    const column = await value(
      "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname LIKE 'zz_retired%'",
    );
    expect(await value(`SELECT ${column} FROM public.users WHERE id = 7`)).toBe('mine');
  } finally {
    await app.close();
  }
});
