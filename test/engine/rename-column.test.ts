import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { startEngine, untilStatus } from '../harness/engine.ts';

const PLAN = readFileSync('examples/rename-column/plan.yaml', 'utf8');

test('the example that renames a column runs to its end: the old one is gone, and nothing of ours is left on the table', async () => {
  const engine = await startEngine({ databases: ['shop-db'], approvers: { dba: ['ana@example.com'] } });
  const shop = new Database('shop-db', { url: engine.config.databases['shop-db']?.url ?? '' });
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  await shop.query('CREATE TABLE public.customers (id int PRIMARY KEY, mail text NOT NULL)');
  await shop.query("INSERT INTO public.customers SELECT i, 'c' || i || '@example.com' FROM generate_series(1, 500) i");
  const name = engine.name('rename-column');
  const handle = await engine.switchback.start(PLAN.replace('name: rename-column', `name: ${name}`), {
    requestedBy: 'dev@example.com',
  });
  await untilStatus(handle, ({ gates }) =>
    gates.some(({ gate, state }) => gate === 'contract/before' && state === 'open'),
  );
  expect(await engine.switchback.deprecations({ interface: 'customer' })).toMatchObject([
    { version: '1.0.0', headers: { Deprecation: '@1796083200', Sunset: 'Mon, 01 Mar 2027 00:00:00 GMT' } },
  ]);
  await shop.query("INSERT INTO public.customers (id, email) VALUES (501, 'new@example.com')");
  expect(await handle.approve({ by: 'ana@example.com' })).toMatchObject({ accepted: true });
  const waiting = await untilStatus(handle, ({ reason }) => reason.startsWith('may be dropped from'));
  expect(waiting.waitingFor).toContain('may be dropped from');
  // The weeks go by: in the ledgers, whose clocks decide. A fresh history asks them anew.
  await shop.query("UPDATE switchback.steps SET applied_at = applied_at - interval '14 days' WHERE kind = 'retire'");
  await home.query("UPDATE switchback.deprecations SET sunset_at = clock_timestamp() - interval '1 day'");
  await engine.client.workflow.getHandle(`migration/${name}`).signal('renew', { by: 'dev@example.com' });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const [left] = await shop.query(
    `SELECT (SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'public.customers'::regclass AND attnum > 0 AND NOT attisdropped) AS columns,
       (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.customers'::regclass) AS triggers,
       (SELECT count(*) FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace AND proname LIKE 'sync%') AS functions,
       (SELECT count(*) FROM public.customers WHERE email LIKE '%@example.com') AS rows`,
  );
  expect(left).toEqual({ columns: 'id email', triggers: '0', functions: '0', rows: '501' });
  await shop.close();
  await home.close();
});
