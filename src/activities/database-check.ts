import { type Database, type Queryable, assertSettings } from '../adapters/postgres/database.ts';
import { bytesOfRoom } from '../adapters/postgres/disk-room.ts';
import { type FactNames, type ObjectName, readSchemaFacts } from '../adapters/postgres/schema-facts.ts';
import { type DatabaseCheck, type LiveCheck, SwitchbackError } from '../messages/index.ts';
import { namesUsed, relationOf, type SchemaFacts } from '../sql/index.ts';
import type { Deps } from './deps.ts';
import { type LiveView, noting } from './live-look.ts';

/** The catalog is read between others' locks: one that is held for longer is told instead of waited for. */
const LOCK_TIMEOUT_MS = 2_000;
const STATEMENT_TIMEOUT_MS = 20_000;

/** Reaches every database that the plan names, all at a time, and reads what its catalog says of the plan's objects. */
export async function lookAtDatabases(deps: Deps, view: LiveView): Promise<void> {
  const { plan, claims, found } = view;
  const names = new Set([...claims.map(({ database }) => database), ...Object.keys(plan.spec.baseState ?? {})]);
  const looked = await Promise.all([...names].toSorted().map((name) => lookAt(deps, view, name)));
  for (const { check, facts, problems, notes } of looked) {
    found.databases.push(check);
    found.problems.push(...problems);
    found.notes.push(...notes);
    if (facts !== null) view.databases.set(check.name, { facts, check });
  }
}

interface Looked extends Pick<LiveCheck, 'problems' | 'notes'> {
  check: DatabaseCheck;
  facts: SchemaFacts | null;
}

async function lookAt(deps: Deps, view: LiveView, name: string): Promise<Looked> {
  const looked: Looked = {
    check: { name, version: null, tables: [], steps: [] },
    facts: null,
    problems: [],
    notes: [],
  };
  // Filled apart and joined in the order of the names: the databases answer in any order.
  const found = { ...view.found, problems: looked.problems, notes: looked.notes };
  await noting(found, async () => {
    const database = deps.databases.get(name);
    const wanted = namesOf(view, name);
    await quickly(database, async (session) => {
      looked.check.version = await lookAtServer(session, name, looked);
      looked.facts = await readSchemaFacts(session, wanted, { roomBytes: await bytesOfRoom(session, database.room) });
    });
    if (looked.facts !== null) noteTables(looked.facts, view, name, looked);
    await noting(found, () => assertSettings(database, name));
  });
  return looked;
}

/** In a transaction that only reads and doesn't wait. */
async function quickly(database: Database, work: (session: Queryable) => Promise<void>): Promise<void> {
  try {
    await database.transaction(async (session) => {
      await session.query(
        `SET TRANSACTION READ ONLY; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS}; SET LOCAL jit = off`,
      );
      await work(session);
    });
  } catch (error) {
    const sqlState = error instanceof SwitchbackError ? error.fields['sqlState'] : null;
    if (sqlState !== '55P03') throw error;
    throw new SwitchbackError(
      'StatementFailed',
      `database "${database.name}": the catalog can't be read, for someone holds an exclusive lock`,
      {
        retry: true,
        hint: 'look for a long ALTER TABLE, VACUUM FULL or an open transaction in pg_stat_activity, and check again',
        fields: { database: database.name },
      },
    );
  }
}

const SERVER = `
SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS recovery,
  CASE WHEN to_regnamespace('switchback') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
    ELSE has_schema_privilege('switchback', 'CREATE') END AS may_keep_ledger, current_user::text AS role`;

async function lookAtServer(session: Queryable, name: string, { problems, notes }: Looked): Promise<string> {
  const [server = {}] = await session.query(SERVER);
  const version = server['version']?.split(' ')[0] ?? '';
  notes.push(`${name}: Postgres ${version}`);
  if (server['recovery'] === 't')
    problems.push(`database "${name}" is in recovery: it takes no writes (point databases.${name}.url to the primary)`);
  if (server['may_keep_ledger'] !== 't')
    problems.push(
      `the worker's role "${server['role']}" may not create the ledger's schema in database "${name}" (GRANT CREATE ON DATABASE … TO "${server['role']}")`,
    );
  return version;
}

/** Every object of this database whose facts the plan's steps are about. */
function namesOf({ plan, claims }: LiveView, database: string): FactNames {
  const relations: ObjectName[] = claims
    .filter((claim) => claim.database === database)
    .map(({ schema, table }) => ({ schema, name: table }));
  const names = { relations, types: [] as ObjectName[], functions: [] as ObjectName[] };
  for (const step of plan.spec.phases.flatMap((phase) => phase.steps)) {
    if (step.uses !== 'ddl' || step.database !== database) continue;
    const used = namesUsed(step.up, step.schema);
    names.relations.push(...used.relations);
    names.types.push(...used.types);
    names.functions.push(...used.functions);
  }
  return names;
}

/** How large the tables are that the plan claims, as far as they exist. */
function noteTables(facts: SchemaFacts, { claims }: LiveView, name: string, { check, notes }: Looked): void {
  for (const { schema, table } of claims.filter((claim) => claim.database === name)) {
    const relation = relationOf(facts, schema, table);
    if (relation === undefined) continue;
    const bytes = relation.heapBytes + relation.indexBytes;
    check.tables.push({ schema, name: table, rows: relation.rows, bytes });
    const size = Math.ceil(bytes / 1024 / 1024);
    const counted =
      relation.rows === null ? 'rows not counted yet' : `about ${relation.rows.toLocaleString('en')} rows`;
    notes.push(`${name}: ${schema}.${table} has ${size} MiB, ${counted}`);
  }
}
