import { takeBaseline } from '../adapters/postgres/baseline.ts';
import { Claims, type TableClaim } from '../adapters/postgres/claims.ts';
import type { Database } from '../adapters/postgres/database.ts';
import { differenceWords } from '../adapters/postgres/difference-words.ts';
import {
  acceptDrift,
  type Drift,
  driftDigest,
  LOOK_AGAIN,
  lookForDrift,
  refreshBaseline,
} from '../adapters/postgres/drift.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import { type RunRef, SwitchbackError } from '../messages/index.ts';
import type { Deps } from './deps.ts';
import type { EffectContext, EffectInput } from './effect.ts';
import { pause } from './pause.ts';

/** Lines that a held step shows; the message is bounded. */
const LINES_SHOWN_MAX = 12;
const LOOK_EVERY_MS = 500;
/** After so many looks in a row without an answer a person is told why the step has not begun. */
const QUIET_LOOKS = 4;
/** A table that is held exclusively is waited for by trying again. */
const BASELINE_LOCK_WAIT_MS = 2_000;

type Found = Drift & { database: Database };

/**
 * Holds a step that is about to begin when someone else has changed the run's tables since they were claimed. It looks
 * at all databases of the run: what one step needs, another has made elsewhere. Throws `SchemaDrift`, which is held
 * whatever the plan says: whether to go on is a person's decision. `accept` takes over exactly what was shown.
 */
export async function assertNoDrift(input: EffectInput, context: EffectContext): Promise<void> {
  const { run, step } = input;
  const { deps } = context;
  const databases = await databasesOf(deps, run);
  if (databases.length === 0 || (await hasBegun(deps, databases, input))) return;
  for (;;) {
    const found = await driftIn(databases, run, context);
    if (found.length === 0 || (await callIsUnderWay(deps, run))) return;
    const digest = driftDigest(found.map(({ database, difference }) => ({ database: database.name, difference })));
    if (input.accept?.digest !== digest) throw drifted(input, found, digest);
    const data = { step: step.id, accepted: digest, differences: wordsOf(found) };
    await deps.home.record(
      run,
      [{ key: `drift-accepted/${digest}`, type: 'drift-accepted', by: input.accept.by, data }],
      null,
    );
    // Where a step of the run has changed a table meanwhile, the rest is looked at once more.
    for (const { database, ...drift } of found) await acceptDrift(database, run, drift);
  }
}

/** From here on nobody but this run should change its tables: what they look like now is what later looks compare with. */
export async function takeBaselines(deps: Deps, run: RunRef, tables: readonly TableClaim[]): Promise<void> {
  for (const name of new Set(tables.map((table) => table.database))) {
    const relations = tables
      .filter((table) => table.database === name)
      .map(({ schema, table }) => ({ schema, name: table }));
    await deps.databases.get(name).transaction(async (session) => {
      await session.query(`SET LOCAL lock_timeout = ${BASELINE_LOCK_WAIT_MS}`);
      await takeBaseline(session, run, relations);
    });
  }
}

/** After a `call`, whose code may change any table of the run: what it left is what the run goes on from. */
export async function takeOverSchemas(deps: Deps, run: RunRef): Promise<void> {
  for (const database of await databasesOf(deps, run)) {
    if (await refreshBaseline(database, run)) continue;
    throw new SwitchbackError('LockNotObtained', `the tables in "${database.name}" can't be looked at: one is locked`, {
      retry: true,
      hint: 'look at pg_locks for who holds a table exclusively',
      fields: { database: database.name },
    });
  }
}

async function databasesOf(deps: Deps, { migration }: RunRef): Promise<Database[]> {
  const names = await new Claims(deps.home.database).databasesOf(migration);
  return names.map((name) => deps.databases.get(name));
}

/** A step with a record in one of the ledgers goes on: its tables may be half-way. */
async function hasBegun(deps: Deps, databases: readonly Database[], { run, step }: EffectInput): Promise<boolean> {
  for (const database of new Set([deps.home.database, ...databases])) {
    if ((await new StepLedger(database).read({ run, step: step.id })) !== null) return true;
  }
  return false;
}

/** Whether code of another team is at work for this run: what it changes is meant, and taken over when it is done. */
async function callIsUnderWay(deps: Deps, run: RunRef): Promise<boolean> {
  const steps = await new StepLedger(deps.home.database).list(run);
  return steps.some(({ kind, state }) => kind === 'call' && state === 'intended');
}

async function driftIn(databases: readonly Database[], run: RunRef, context: EffectContext): Promise<Found[]> {
  const found: Found[] = [];
  for (const database of databases) {
    const drift = await lookPatiently(database, run, context);
    if (drift !== null) found.push({ database, ...drift });
  }
  return found;
}

async function lookPatiently(database: Database, run: RunRef, context: EffectContext): Promise<Drift | null> {
  for (let look = 1; ; look++) {
    const drift = await lookForDrift(database, run);
    if (drift !== LOOK_AGAIN) return drift;
    if (look >= QUIET_LOOKS) {
      const note = `waits to look at the tables in "${database.name}": one is locked, or being changed`;
      context.report({ progress: null, note });
    }
    await pause(LOOK_EVERY_MS, context.signal);
  }
}

const wordsOf = (found: readonly Found[]): string[] =>
  found.flatMap(({ database, difference }) => differenceWords(difference).map((line) => `${database.name}: ${line}`));

function drifted({ run, step, accept }: EffectInput, found: readonly Found[], digest: string): SwitchbackError {
  const words = wordsOf(found);
  const shown = words.length > LINES_SHOWN_MAX ? [...words.slice(0, LINES_SHOWN_MAX), 'and more'] : words;
  const since = accept == null ? '' : ` (${accept.digest}, which was accepted, is not what is there now)`;
  return new SwitchbackError(
    'SchemaDrift',
    `tables of this migration were changed by someone else${since}: ${shown.join('; ')}`,
    {
      hint: `undo it by hand and retry; or accept it as it is: switchback retry ${run.migration} ${step.id} --accept ${digest}`,
      fields: { hold: true, accept: digest, databases: found.map(({ database }) => database.name).join(', ') },
    },
  );
}
