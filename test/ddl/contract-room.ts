import { afterAll, beforeAll } from 'vitest';
import type { Deps } from '../../src/activities/deps.ts';
import { drop } from '../../src/activities/drop.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { Effect, EffectContext, EffectResult } from '../../src/activities/effect.ts';
import { retire } from '../../src/activities/retire.ts';
import type { Databases, Row } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import type { Direction, RunRef } from '../../src/messages/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { type DdlBench, ddlBench } from './bench.ts';

type Step = StepOf<'dual-write' | 'retire' | 'drop'>;
const EFFECTS = { 'dual-write': dualWrite, retire, drop } as unknown as Record<string, Effect<Step['uses']>>;

/** A schema and a migration of its own in one shared database: what goes out of use and away in it. */
export interface ContractCase {
  schema: string;
  run: RunRef;
  /** A step on the schema; only what differs from the defaults. */
  step<K extends Step['uses']>(uses: K, fields: Record<string, unknown>): StepOf<K>;
  act(direction: Direction, step: Step, options?: ActOptions): Promise<EffectResult>;
  /** With the schema on the search path. */
  query(sql: string): Promise<Row[]>;
}
export interface ActOptions {
  run?: RunRef;
  databases?: Databases;
  onNote?: (note: string) => void;
}

/** One database for the tests of a file. */
export function contractRoom(): { bench(): DdlBench; open(sql: string): Promise<ContractCase> } {
  let bench: DdlBench;
  let cases = 0;
  beforeAll(async () => {
    bench = await ddlBench();
  });
  afterAll(() => bench.drop());
  return { bench: () => bench, open: (sql) => openCase(bench, `case_${++cases}`, sql) };
}

type Bench = Pick<DdlBench, 'database' | 'databases' | 'run' | 'query' | 'input' | 'context'>;
export async function openCase(bench: Bench, schema: string, sql: string): Promise<ContractCase> {
  const query = (text: string): Promise<Row[]> =>
    bench.database.session(async (session) => {
      await session.query(`SET search_path = ${schema}`);
      return session.query(text);
    });
  const run = bench.run({ migration: `migration-${schema.replaceAll('_', '-')}` });
  await new StepLedger(bench.database).raiseFence(run);
  await bench.query(`CREATE SCHEMA ${schema}`);
  await query(sql);
  return {
    schema,
    run,
    query,
    step: (uses, fields) =>
      stepKinds[uses].parse({ id: uses, uses, database: 'app', schema, ...fields }) as StepOf<typeof uses>,
    act: (direction, step, { run: other = run, ...options } = {}) =>
      EFFECTS[step.uses]?.[direction](bench.input(step, { direction, run: other }), contextOf(bench, options)) ??
      Promise.reject(new Error(`no effect ${step.uses}`)),
  };
}

/** The database is its own home ledger. */
function contextOf(bench: Bench, options: Omit<ActOptions, 'run'>): EffectContext {
  const context = bench.context(options);
  const home = new HomeLedger((options.databases ?? bench.databases).get('app'));
  return { ...context, deps: { ...context.deps, home } satisfies Deps };
}
