import fc from 'fast-check';
import { expect, test } from 'vitest';
import { catalogJson, catalogKey, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import type { Queryable } from '../../src/adapters/postgres/database.ts';
import { quoteIdentifier as q } from '../../src/adapters/postgres/identifier.ts';
import { SwitchbackError } from '../../src/messages/index.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { planSql } from './random-plan.ts';
import { type Choice, choice, emptyWorld, schemaSql } from './random-schema.ts';

/**
 * Random schemas and random plans: whatever was applied, wherever it stopped, the rollback gives back the schema and the
 * rows that were there before. What a change is tested with is always the same; `ROLLBACK_SEED=random` hunts for more,
 * and `ROLLBACK_SECONDS` lets it look for longer. A failure prints its seed and path: `ROLLBACK_SEED` replays a run,
 * `ROLLBACK_PATH` one case of it.
 */
const SEED_OF_EVERY_RUN = 20_261_121;
const SECONDS = Number(process.env['ROLLBACK_SECONDS'] ?? 12);
const SEED = process.env['ROLLBACK_SEED'];
const PATH = process.env['ROLLBACK_PATH'];
const REPLAYS = SEED !== undefined && SEED !== 'random';

interface Case {
  schema: Choice[];
  plan: Choice[];
  /** The worker is gone after this many statements; null: the plan runs to its end. */
  cut: number | null;
}
const aCase: fc.Arbitrary<Case> = fc.record({
  schema: fc.array(choice, { minLength: 2, maxLength: 6 }),
  plan: fc.array(choice, { minLength: 4, maxLength: 12 }),
  cut: fc.option(fc.nat(12), { freq: 3 }),
});

test('random plans over random schemas come back', async () => {
  const bench = await ddlBench();
  const seed = SEED === 'random' ? Date.now() % 2_147_483_647 : Number(SEED ?? SEED_OF_EVERY_RUN);
  const ends = Date.now() + SECONDS * 1_000;
  let run = 0;
  let applied = 0;
  console.log(`rollback property: ROLLBACK_SEED=${seed}`);
  await fc.assert(
    fc.asyncProperty(aCase, async (one) => {
      // The first case always runs, however slow the machine is; a replay runs to its end.
      if (run > 0 && PATH === undefined && !REPLAYS && Date.now() > ends) return;
      run += 1;
      applied += await upAndDown(bench, `case ${run}`, one);
    }),
    { seed, numRuns: 400, endOnFailure: false, ...(PATH !== undefined && { path: PATH }) },
  );
  console.log(`rollback property: ${run} cases, ${applied} statements`);
  expect(applied).toBeGreaterThan(0);
}, 600_000);

/** Answers with how many statements were applied and taken back. */
async function upAndDown(bench: DdlBench, schema: string, one: Case): Promise<number> {
  const world = emptyWorld();
  const fixture = schemaSql(world, one.schema);
  const written = planSql(world, one.plan);
  return bench.database.session(async (session) => {
    await session.query(`CREATE SCHEMA ${q(schema)}; SET search_path = ${q(schema)}`);
    for (const sql of fixture) await session.query(sql).catch(() => undefined);
    await session.query('SET search_path = pg_catalog');
    const before = await look(session, schema);
    const statements = await thoseThatRun(session, schema, written);
    const wanted = bench.step(statements.join(';\n'), { id: schema, schema });
    const cut = bench.step(statements.slice(0, one.cut ?? undefined).join(';\n'), { id: schema, schema });
    try {
      if (statements.length === 0) return 0;
      if (one.cut === null || one.cut > 0) await bench.up(cut).catch(expected);
      await writeValues(session, before, schema);
      const [step] = await session.query(
        `SELECT jsonb_array_length(detail->'up'->'done') AS done FROM switchback.steps WHERE step = $1`,
        [schema],
      );
      await bench.down(wanted);
      const after = await look(session, schema);
      expect<Seen>({ schema: after.schema, rows: after.rows }).toEqual({ schema: before.schema, rows: before.rows });
      return Number(step?.['done'] ?? 0);
    } catch (error) {
      throw new Error(`${fixture.join(';\n')};\n-- plan\n${statements.join(';\n')};\n-- cut at ${one.cut}`, {
        cause: error,
      });
    } finally {
      await session.query(`DROP SCHEMA ${q(schema)} CASCADE`);
    }
  });
}

/** Tried one by one and taken back: a plan would end at the first one that Postgres refuses. */
async function thoseThatRun(session: Queryable, schema: string, statements: readonly string[]): Promise<string[]> {
  const good: string[] = [];
  await session.query(`BEGIN; SET LOCAL search_path = ${q(schema)}`);
  for (const sql of statements) {
    try {
      await session.query(`SAVEPOINT one; ${sql.replace('CONCURRENTLY', '')}; RELEASE SAVEPOINT one`);
      good.push(sql);
    } catch {
      await session.query('ROLLBACK TO SAVEPOINT one');
    }
  }
  await session.query('ROLLBACK');
  return good;
}

/** What random SQL may run into; anything else is a fault of ours. */
function expected(error: unknown): void {
  const codes = ['StatementFailed', 'NotReversible', 'ForeignObject', 'RuleViolated', 'Unsupported'];
  if (error instanceof SwitchbackError && codes.includes(error.code)) return;
  throw error;
}

interface Seen {
  schema: Record<string, unknown>;
  rows: Record<string, string | null>;
}
interface Look extends Seen {
  identities: ReadonlySet<string>;
}

/** The schema, and the rows of its tables by the columns that they have. */
async function look(session: Queryable, schema: string): Promise<Look> {
  const snapshot = await catalogSnapshot(session, { schemas: [schema] });
  const tables = await session.query(
    `SELECT c.relname AS name, c.oid::regclass::text AS path FROM pg_class c WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')`,
    [q(schema)],
  );
  const rows: Seen['rows'] = {};
  for (const { name, path } of tables) {
    const [row] = await session.query(`SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) AS digest FROM ${path} t`);
    rows[name ?? ''] = row?.['digest'] ?? null;
  }
  return {
    schema: catalogJson(snapshot),
    rows,
    identities: new Set([...snapshot.values()].map(({ identity }) => identity)),
  };
}

/** Clients write what the plan made: its columns, and rows of its tables. */
async function writeValues(session: Queryable, before: Look, schema: string): Promise<void> {
  const after = await catalogSnapshot(session, { schemas: [schema] });
  for (const { kind, of, name, identity } of after.values()) {
    if (before.identities.has(identity)) continue;
    // A view's new columns are another way to a table's old ones.
    if (kind === 'column' && after.has(catalogKey({ kind: 'table', schema, of: '', name: of })))
      await session.query(`UPDATE ${q(schema)}.${q(of)} SET ${q(name)} = '5'`).catch(() => undefined);
    if (kind === 'table')
      await session.query(`INSERT INTO ${q(schema)}.${q(name)} DEFAULT VALUES`).catch(() => undefined);
  }
}
