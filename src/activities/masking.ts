import { conditionName } from '../adapters/postgres/condition-names.ts';
import { hidingValues, showKey } from '../adapters/postgres/hidden-values.ts';
import { keyHash, newSalt, saltOf } from '../adapters/postgres/key-hash.ts';
import { anyPersonal, isPersonal, piiOf, planLabel } from '../adapters/postgres/personal-tables.ts';
import type { Place } from '../adapters/postgres/range-ledger.ts';
import type { RunRef } from '../messages/index.ts';
import type { Plan } from '../plan/index.ts';
import { PII } from '../plan/pii-label.ts';
import type { Deps } from './deps.ts';
import type { EffectInput } from './effect.ts';

export interface MaskedTable {
  database: string;
  schema: string;
  table: string;
}
/** How keys and texts of one table may be told to people: in errors, notes, logs and reports. */
export interface Mask {
  /** True for a table labelled `pii`: its values are never told, its keys only hashed. */
  readonly hides: boolean;
  key(place: Place): string;
  /** What Postgres said, which may quote values. */
  message(text: string, sqlState: string): string;
}

const OPEN: Mask = { hides: false, key: showKey, message: (text) => text };
const hiding = (salt: string): Mask => ({
  hides: true,
  key: (place) => keyHash(salt, place),
  message: (_text, sqlState) => conditionName(sqlState),
});

/**
 * The mask of a table, or of several whose rows are told together: it hides where one of them is labelled. In a step
 * messages of Postgres and keys written by `showKey` are hidden by themselves (see `hidingStep`); this is for the rest.
 */
export async function maskOf(deps: Deps, run: RunRef, of: MaskedTable | readonly MaskedTable[]): Promise<Mask> {
  const label = await planLabel(deps.home.database, run);
  return (await anyIsPersonal(deps, [of].flat(), label)) ? hiding(await saltOf(deps.home.database, run)) : OPEN;
}

/** The same before there is a run, for `check`: hashes are comparable within one answer. */
export async function maskForCheck(deps: Deps, plan: Plan, of: MaskedTable | readonly MaskedTable[]): Promise<Mask> {
  return (await anyIsPersonal(deps, [of].flat(), piiOf(plan.metadata.labels[PII]))) ? hiding(newSalt()) : OPEN;
}

async function anyIsPersonal(
  { databases }: Deps,
  tables: readonly MaskedTable[],
  label: Parameters<typeof isPersonal>[1],
): Promise<boolean> {
  for (const { database, schema, table } of tables)
    if (await isPersonal({ database: databases.get(database), schema, table }, label)) return true;
  return false;
}

/**
 * Runs a step's work so that no error in it holds what Postgres said of rows of a labelled table, or one of its keys.
 * Where it isn't known whose rows a step's statements read (the plan's own SQL of `ddl` and of conditions), any label of
 * the database counts.
 */
export async function hidingStep<T>(deps: Deps, input: EffectInput, work: () => Promise<T>): Promise<T> {
  const label = await planLabel(deps.home.database, input.run);
  const tables = tablesOf(input);
  const hides =
    tables === null ? anyDatabaseIs(deps, databasesOf(input), label) : await anyIsPersonal(deps, tables, label);
  return hidingValues(hides ? hiding(await saltOf(deps.home.database, input.run)).key : null, work);
}

/** The same for what is no step of its own: conditions and guards, which read any database. */
export async function hidingRun<T>(deps: Deps, run: RunRef, work: () => Promise<T>): Promise<T> {
  const hides = anyDatabaseIs(deps, null, await planLabel(deps.home.database, run));
  return hidingValues(hides ? hiding(await saltOf(deps.home.database, run)).key : null, work);
}

/** The same for `check`. */
export const hidingCheck = <T>(deps: Deps, plan: Plan, work: () => Promise<T>): Promise<T> => {
  const hides = anyDatabaseIs(deps, null, piiOf(plan.metadata.labels[PII]));
  return hidingValues(hides ? hiding(newSalt()).key : null, work);
};

const anyDatabaseIs = (
  { databases }: Deps,
  names: readonly string[] | null,
  label: Parameters<typeof anyPersonal>[1],
): boolean => (names ?? databases.names).some((name) => anyPersonal(databases.get(name), label));

/** The tables whose rows the step's own statements read and write; null where its author's SQL may read any. */
function tablesOf({ step, of }: EffectInput): MaskedTable[] | null {
  const named = (database: string | undefined, schema: string, table: string | undefined): MaskedTable[] =>
    database === undefined || table === undefined ? [] : [{ database, schema, table }];
  // A throttle's own query reads what it likes.
  if ('throttle' in step && step.throttle.sql !== undefined) return null;
  switch (step.uses) {
    case 'dual-write':
      return [step.table, step.from?.table, step.to?.table].flatMap((table) =>
        named(step.database, step.schema, table),
      );
    case 'backfill':
    case 'verify': {
      const sides = step.uses === 'verify' ? [step.left, step.right] : [];
      return [
        ...named(step.database, step.schema, step.table),
        ...[of?.table, of?.from?.table, of?.to?.table].flatMap((table) =>
          of === null ? [] : named(of.database, of.schema, table),
        ),
        ...sides.flatMap((side) => (side === undefined ? [] : named(side.database, side.schema, side.table))),
      ];
    }
    case 'retire':
    case 'drop':
      return named(step.database, step.schema, step.table ?? step.column?.split('.')[0]);
    default:
      return null;
  }
}

const databasesOf = ({ step }: EffectInput): string[] | null =>
  'database' in step && typeof step.database === 'string' ? [step.database] : null;
