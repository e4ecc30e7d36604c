import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { upgradeOlderLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import { planOf, startEngine, untilStatus } from '../harness/engine.ts';

/** Takes a target's ledger back to what it was before long steps had a budget, digests and images. */
const MADE_EARLIER = `
DROP TABLE switchback.before_images, switchback.budget, switchback.suspects;
ALTER TABLE switchback.ranges DROP COLUMN before_digest, DROP COLUMN after_digest;
ALTER TABLE switchback.lineage DROP COLUMN before_digest, DROP COLUMN after_digest;
DELETE FROM switchback.upgrades WHERE name IN ('0005-lineage-digests', '0006-before-images', '0007-budget', '0009-suspects')`;

test('a run that began under an older version goes on and ends: the ledger of its database is upgraded', {
  timeout: 60_000,
}, async () => {
  const by = 'ana@example.com';
  const engine = await startEngine({ databases: ['app', 'other'], approvers: { dba: [by] } });
  const urls = ['app', 'other'].map((name) => engine.config.databases[name]?.url ?? '');
  const [app, other] = urls.map((url) => new Database('app', { url })) as [Database, Database];
  try {
    await app.query(
      'CREATE TABLE public.t (id int PRIMARY KEY, n int); INSERT INTO public.t SELECT i, i FROM generate_series(1, 50) i',
    );
    const fill = { id: 'fill', uses: 'backfill', database: 'app', table: 't', set: { n: 'n + 100' } } as const;
    const plan = planOf(engine.name('older'), [{ name: 'main', approval: 'before', steps: [fill] }], {
      risk: 'moderate',
      policies: { approvals: [{ risk: 'moderate', roles: ['dba'], min: 1 }] },
    });
    const run = await engine.switchback.start(plan, { requestedBy: by });
    await untilStatus(run, ({ status }) => status === 'awaiting-approval');
    await app.query(MADE_EARLIER);
    await run.approve({ by });
    await run.result();
    expect(await app.query('SELECT sum(n) AS sum FROM public.t')).toEqual([{ sum: '6275' }]);
    // A database without a ledger gets none.
    await upgradeOlderLedger(other);
    expect(await other.query("SELECT to_regnamespace('switchback') AS ledger")).toEqual([{ ledger: null }]);
  } finally {
    await app.close();
    await other.close();
  }
});
