import { bytesOfRoom } from '../adapters/postgres/disk-room.ts';
import type { CatalogObject } from '../adapters/postgres/catalog.ts';
import { type DdlWork, readDetail, type RecordedUnit } from '../adapters/postgres/ddl-record.ts';
import { climbInSession } from '../adapters/postgres/lock-ladder.ts';
import { readSchemaFacts } from '../adapters/postgres/schema-facts.ts';
import type { StepOf } from '../plan/index.ts';
import type { SchemaFacts } from '../sql/facts.ts';
import { safeForm, type Statement } from '../sql/index.ts';
import { namesUsed } from '../sql/names.ts';
import { refuseViolations } from './ddl-refusal.ts';

/**
 * Works out what a statement runs as, from the catalog as it is now: Postgres's safe form of it, or itself. What would
 * hold others up, and is neither avoided by a safe form nor allowed by the plan, is refused before it runs; not on the
 * way down, where nothing must stand between a person and the schema as it was.
 */
export async function decideUnits(
  work: DdlWork,
  step: StepOf<'ddl'>,
  { statement, number }: { statement: Statement; number: number },
): Promise<readonly RecordedUnit[]> {
  const facts = await factsFor(work, statement);
  if (work.slot === 'up') refuseViolations(step, { statement, number, facts });
  const form = safeForm(statement, step.schema, facts);
  if (form === null) return [{ text: statement.text }];
  work.onWait(`statement ${number}: ${form.why}`, null);
  return form.units.map(({ text, fill }) => ({ text, fill }));
}

/** Printing a definition waits for whoever holds the table exclusively: no longer than a try of the ladder. */
async function factsFor(work: DdlWork, statement: Statement): Promise<SchemaFacts> {
  const { database, signal, limits, killBlockers } = work;
  const names = namesUsed(statement.text, work.schema);
  const facts = await climbInSession(
    { database, limits, signal, purpose: 'reading the catalog', killBlockers, onWait: (note) => work.onWait(note) },
    async (transaction, lockTimeoutMs) => {
      await transaction.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
      const roomBytes = await bytesOfRoom(transaction, database.room);
      return readSchemaFacts(transaction, names, { roomBytes });
    },
  );
  const own = await tablesMadeHere(work);
  const isOwn = (schema: string, name: string): boolean =>
    own.some((object) => object.schema === schema && object.name === name);
  return {
    ...facts,
    relations: facts.relations.map((relation) => ({
      ...relation,
      fresh: relation.fresh || isOwn(relation.schema, relation.name),
    })),
  };
}

/** What an earlier statement of this very step has made: nobody uses it yet, however full it is. */
async function tablesMadeHere(work: DdlWork): Promise<CatalogObject[]> {
  const record = await work.ledger.read(work.key);
  if (record === null) return [];
  return readDetail(record, work.slot).done.flatMap(({ difference }) =>
    difference.created.filter(({ of }) => of === ''),
  );
}
