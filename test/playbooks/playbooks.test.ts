import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Engine, startEngine } from '../harness/engine.ts';
import { Flags } from './flags.ts';
import { databaseOf, documentedOf, runPlaybook, WAYS } from './run.ts';
import type { CatalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import type { Playbook } from './playbook.ts';
import { addColumnBackfill } from './add-column-backfill.ts';
import { foreignKey } from './foreign-key.ts';
import { intToBigint } from './int-to-bigint.ts';
import { jsonToColumns } from './json-to-columns.ts';
import { mergeTables } from './merge-tables.ts';
import { notNull } from './not-null.ts';
import { renameColumn } from './rename-column.ts';
import { replaceEnum } from './replace-enum.ts';
import { splitColumn } from './split-column.ts';
import { splitTable } from './split-table.ts';

/**
 * Every playbook of examples/, up and taken back, with live traffic. All of them run at once on one worker, as when
 * several teams migrate side by side; each test waits for its own. PLAYBOOK=name,… runs some of them, SEED=… what was
 * printed.
 */
const ALL = [
  addColumnBackfill,
  renameColumn,
  splitColumn,
  notNull,
  splitTable,
  mergeTables,
  replaceEnum,
  foreignKey,
  intToBigint,
  jsonToColumns,
];
const PLAYBOOKS = ALL.filter(({ name }) => (process.env['PLAYBOOK'] ?? name).split(',').includes(name));
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const RUNS_MAX_MS = 600_000;

const HOOK_MAX_MS = 120_000;

const RUNS = PLAYBOOKS.flatMap((playbook) => WAYS.map((way) => ({ playbook, way, name: `${playbook.name}, ${way}` })));

describe('playbooks', () => {
  const outcomes = new Map<string, Promise<void>>();
  let engine: Engine;
  let flags: Flags;
  let ledger: pg.Pool;

  beforeAll(async () => {
    console.log(`playbooks: SEED=${SEED}`);
    const databases = RUNS.map(({ playbook, way }) => databaseOf(playbook, way));
    engine = await startEngine({ databases, approvers: { dba: ['ana@example.com'] }, unleash: true });
    flags = await Flags.connect();
    ledger = new pg.Pool({ connectionString: engine.config.databases['home']?.url, max: 4 });
    const documented = new Map<Playbook, CatalogSnapshot>();
    for (const playbook of PLAYBOOKS) documented.set(playbook, await documentedOf(playbook));
    for (const [at, { name, playbook, way }] of RUNS.entries()) {
      const outcome = runPlaybook(playbook, way, {
        ...{ engine, flags, ledger, seed: SEED + at * 100 },
        documented: documented.get(playbook) ?? new Map(),
      });
      // Its test comes to it later.
      outcome.catch(() => undefined);
      outcomes.set(name, outcome);
    }
  }, HOOK_MAX_MS);
  afterAll(async () => {
    const settled = await Promise.allSettled(outcomes.values());
    flags.close();
    await ledger.end();
    await engine.close(settled.every(({ status }) => status === 'fulfilled'));
  }, RUNS_MAX_MS);

  test.each(RUNS)('$name', { timeout: RUNS_MAX_MS }, async ({ name }) => {
    await expect(outcomes.get(name)).resolves.toBeUndefined();
  });
});
