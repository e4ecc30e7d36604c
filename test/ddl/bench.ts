import { onTestFinished } from 'vitest';
import { ddl } from '../../src/activities/ddl.ts';
import type { EffectResult } from '../../src/activities/effect.ts';
import { type CatalogSnapshot, catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import type { Database, Databases, Row } from '../../src/adapters/postgres/database.ts';
import type { RunRef } from '../../src/messages/index.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { RULES } from '../../src/sql/rules/index.ts';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { freshDatabase } from '../harness/servers.ts';

/** A fresh database with a ledger, and `ddl` steps run on it by hand. */
export interface DdlBench extends EffectBench {
  url: string;
  /** For a bench of several tests, made in `beforeAll`. A test's own goes by itself. */
  drop(): Promise<void>;
  database: Database;
  step(up: string, fields?: Partial<StepOf<'ddl'>>): StepOf<'ddl'>;
  up(step: StepOf<'ddl'>, options?: Options): Promise<EffectResult>;
  down(step: StepOf<'ddl'>, options?: Options): Promise<EffectResult>;
  snapshot(): Promise<CatalogSnapshot>;
  /** The snapshot as plain JSON, for comparing. */
  schema(): Promise<unknown>;
  query(sql: string): Promise<Row[]>;
}
export interface Options {
  run?: Partial<RunRef>;
  signal?: AbortSignal;
  onNote?: (note: string) => void;
  /** Another way to the same databases. */
  databases?: Databases;
}

/** @param postgresUrl as `freshDatabase` has it */
export async function ddlBench(setUp = '', postgresUrl?: string): Promise<DdlBench> {
  const fresh = await freshDatabase('ddl', postgresUrl);
  const bench = await effectBench(fresh.url);
  const drop = async (): Promise<void> => {
    await bench.close();
    await fresh.drop();
  };
  atEndOfTest(() => bench.close());
  const database = bench.databases.get('app');
  if (setUp !== '') await database.session((session) => session.query(setUp));
  const effect =
    (direction: 'up' | 'down') =>
    (step: StepOf<'ddl'>, { run, ...options }: Options = {}): Promise<EffectResult> =>
      ddl[direction](bench.input<'ddl'>(step, { direction, run: bench.run(run) }), bench.context(options));
  const snapshot = (): Promise<CatalogSnapshot> => catalogSnapshot(database);
  return {
    ...bench,
    url: fresh.url,
    drop,
    database,
    step: (up, fields) => ({ ...ddlDefaults, id: 'change', up, ...fields }),
    up: effect('up'),
    down: effect('down'),
    snapshot,
    schema: async () => catalogJson(await snapshot()),
    query: (sql) => database.session((session) => session.query(sql)),
  };
}

function atEndOfTest(work: () => Promise<void>): void {
  try {
    onTestFinished(work);
  } catch {
    // Called from `beforeAll`: there is no test to wait for.
  }
}

const ddlDefaults = {
  uses: 'ddl',
  database: 'app',
  schema: 'public',
  needs: [],
  guards: [],
  retry: { initialInterval: '1s', maximumInterval: '30s', attempts: 10 },
  lockTimeout: '1s',
  // What the rules refuse has tests of its own, which say `allow: []`.
  allow: RULES.map(({ code }) => ({ rule: code, reason: 'the test is about how it runs' })),
  killBlockers: false,
} satisfies Partial<StepOf<'ddl'>> as unknown as Omit<StepOf<'ddl'>, 'id' | 'up'>;
