import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { planOf, startEngine } from '../harness/engine.ts';

test('a run that rolls back gives rows back what they held; one that completes forgets it', {
  timeout: 60_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  try {
    await app.query(
      'CREATE TABLE public.t (id int PRIMARY KEY, n int); INSERT INTO public.t SELECT i, i FROM generate_series(1, 50) i',
    );
    const sum = async (sql: string): Promise<string> => Object.values((await app.query(sql))[0] ?? {})[0] ?? '';
    const fill = {
      id: 'fill',
      uses: 'backfill',
      database: 'app',
      table: 't',
      set: { n: 'n + 100' },
      preserve: true,
    } as const;
    const wrong = { id: 'wrong', uses: 'ddl', database: 'app', up: 'ALTER TABLE nowhere ADD COLUMN x int' } as const;
    const back = planOf(engine.name('back'), [{ name: 'main', steps: [fill, { ...wrong, needs: ['fill'] }] }]);
    const run = await engine.switchback.start(back, { requestedBy: 'ana@example.com' });
    await expect(run.result()).rejects.toMatchObject({ code: 'RolledBack' });
    expect(await sum('SELECT sum(n) FROM public.t')).toBe('1275');
    expect(await sum('SELECT count(*) FROM switchback.before_images')).toBe('0');
    const through = planOf(engine.name('through'), [{ name: 'main', steps: [fill] }]);
    await (await engine.switchback.start(through, { requestedBy: 'ana@example.com' })).result();
    expect(await sum('SELECT sum(n) FROM public.t')).toBe('6275');
    expect(await sum('SELECT count(*) FROM switchback.before_images')).toBe('0');
  } finally {
    await app.close();
  }
});
