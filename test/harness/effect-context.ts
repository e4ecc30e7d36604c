import pino from 'pino';
import type { Deps } from '../../src/activities/deps.ts';
import type { EffectContext, EffectInput } from '../../src/activities/effect.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import type { RunRef } from '../../src/messages/index.ts';
import type { Kind, StepOf } from '../../src/plan/index.ts';

/** A database with a ledger, and what effects on it need: for tests that call an effect without Temporal. */
export interface EffectBench {
  databases: Databases;
  /** Everything that effects reported, oldest first. */
  notes: string[];
  context(options?: { signal?: AbortSignal; onNote?: (note: string) => void; databases?: Databases }): EffectContext;
  run(fields?: Partial<RunRef>): RunRef;
  input<K extends Kind>(step: StepOf<K>, fields?: Partial<EffectInput<K>>): EffectInput<K>;
  /** Raises the fence as a newer run or the rollback does. */
  raiseFence(generation: number, migration?: string): Promise<void>;
  close(): Promise<void>;
}

/** `url` is that of the database which steps name `app`. */
export async function effectBench(url: string, migration = 'test-migration'): Promise<EffectBench> {
  const databases = new Databases({ app: { url } });
  const database = databases.get('app');
  await upgradeLedger(database, { home: true });
  const ledger = new StepLedger(database);
  const notes: string[] = [];
  const log = pino({ level: 'silent' });
  const deps = { databases, home: new HomeLedger(database), log } satisfies Partial<Deps>;
  const run: EffectBench['run'] = (fields) => ({
    migration,
    version: 1,
    digest: 'sha256:test',
    epoch: 1,
    generation: 1,
    ...fields,
  });
  const raiseFence: EffectBench['raiseFence'] = (generation, of = migration) =>
    ledger.raiseFence(run({ generation, migration: of }));
  await raiseFence(1);
  return {
    databases,
    notes,
    context: ({ signal = new AbortController().signal, onNote, databases: of } = {}) => ({
      // Effects on a database use no other part; one that does fails at once.
      deps: { ...deps, ...(of && { databases: of }) } as unknown as Deps,
      log,
      signal,
      report: ({ note }) => {
        if (note === null) return;
        notes.push(note);
        onNote?.(note);
      },
    }),
    run,
    input: (step, fields) => ({
      run: run(),
      direction: 'up',
      phase: 'expand',
      risk: 'low',
      requestedBy: 'test@example.com',
      step,
      of: null,
      flag: null,
      throttle: null,
      ...fields,
    }),
    raiseFence,
    close: () => databases.close(),
  };
}
