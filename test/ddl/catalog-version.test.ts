import { afterAll, beforeAll, expect, test } from 'vitest';
import { ddlStatement } from '../../src/activities/ddl-statements.ts';
import { catalogSnapshot, catalogVersion } from '../../src/adapters/postgres/catalog.ts';
import { catalogDifference } from '../../src/adapters/postgres/catalog-difference.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { REVERSIBLE, TABLES } from './reversible.ts';

/** Whatever a snapshot shows has to change the version too: or a change of someone else would be taken for the step's own. */
const MORE: Record<string, string> = {
  'an index attached': 'ALTER INDEX by_kind ATTACH PARTITION one_kind',
  'a comment on an index': `COMMENT ON INDEX users_email IS 'x'`,
  'a comment on a constraint': `COMMENT ON CONSTRAINT age_positive ON users IS 'x'`,
  'a comment on a type': `COMMENT ON TYPE mood IS 'x'`,
  'a comment on a function': `COMMENT ON FUNCTION touch() IS 'x'`,
  'a comment on a schema': `COMMENT ON SCHEMA elsewhere IS 'x'`,
};
const PARTS = `CREATE TABLE kinds (kind int) PARTITION BY RANGE (kind);
  CREATE TABLE kinds_1 PARTITION OF kinds FOR VALUES FROM (0) TO (9);
  CREATE INDEX by_kind ON ONLY kinds (kind); CREATE INDEX one_kind ON kinds_1 (kind)`;

let bench: DdlBench;
beforeAll(async () => {
  bench = await ddlBench(`${TABLES}; ${PARTS}`);
});
afterAll(() => bench.drop());

test.each(Object.entries({ ...REVERSIBLE, ...MORE }))('%s changes the version', async (_name, sql) => {
  const { scope } = ddlStatement({ text: sql }, 'public', { number: 1, part: 1, of: 1 });
  await bench.database.session(async (session) => {
    await session.query('BEGIN');
    const [before, version] = [await catalogSnapshot(session, scope), await catalogVersion(session, scope)];
    await session.query(`SET LOCAL search_path = public; ${sql}; SET LOCAL search_path = pg_catalog`);
    const { created, dropped, renamed, changed } = catalogDifference(before, await catalogSnapshot(session, scope));
    expect(created.length + dropped.length + renamed.length + changed.length).toBeGreaterThan(0);
    expect(await catalogVersion(session, scope)).not.toBe(version);
    await session.query('ROLLBACK');
  });
});
