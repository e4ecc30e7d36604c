import { readAudit } from '../activities/read-audit.ts';
import { saltsOf } from '../adapters/postgres/audit-read.ts';
import { rowsOfHash, tablesNamed } from '../adapters/postgres/audited-row.ts';
import { Database } from '../adapters/postgres/database.ts';
import { isKeyHash } from '../adapters/postgres/key-hash.ts';
import { type Audit, type AuditQuestion, type RowQuestion, SwitchbackError } from '../messages/index.ts';
import { isLabelled } from '../plan/pii-label.ts';
import type { Invocation } from './cli.ts';
import { readSettings, type Settings } from './settings.ts';

/**
 * Reads an audit from the databases themselves where the configuration has them, as `report` does; else a worker is
 * asked. So a key of a person is no part of a recorded question where that can be avoided.
 */
export async function auditOf(
  invocation: Pick<Invocation, 'globals' | 'terminal' | 'session'>,
  question: AuditQuestion,
): Promise<Audit> {
  const settings = readSettings(invocation.globals, invocation.terminal);
  const ask = (): Promise<Audit> =>
    invocation.session(({ switchback }) =>
      switchback.audit(question.name, {
        row: question.row && {
          ...question.row,
          database: question.row.database ?? undefined,
          schema: question.row.schema ?? undefined,
        },
      }),
    );
  if (settings.config === null) return ask();
  try {
    return await withDatabases(settings, ({ all, home }) => readAudit(all, home, question, { plainKeys: true }));
  } catch (error) {
    if (!(error instanceof SwitchbackError) || error.code !== 'DatabaseUnreachable') throw error;
    if (question.row !== undefined && isPrivate(settings, question.row)) throw error;
    return ask();
  }
}

/** Whether the configuration says that the key must not go into a question. */
const isPrivate = ({ config }: Settings, { database, schema, table, key }: RowQuestion): boolean =>
  !(key.length === 1 && isKeyHash(key[0] ?? '')) &&
  Object.entries(config?.databases ?? {}).some(
    ([name, { labels }]) =>
      (database === null || database === name) &&
      new Database(name, { url: 'postgres://unused', labels }).personal.some((label) =>
        isLabelled(label, { database: name, schema: schema ?? label.schema ?? '', table }),
      ),
  );

/** The keys that a migration shows as this hash, as they are. Only the databases themselves are asked. */
export async function keysOfHash(
  { globals, terminal }: Pick<Invocation, 'globals' | 'terminal'>,
  name: string,
  hash: string,
  table: Omit<RowQuestion, 'key'>,
): Promise<{ database: string; schema: string; table: string; columns: string[]; keys: string[][] }[]> {
  const settings = readSettings(globals, terminal);
  if (settings.config === null) throw settings.configProblem ?? noConfig();
  return withDatabases(settings, async ({ all, home }) => {
    const salts = await saltsOf(home, name);
    const wanted = all.filter((database) => table.database === null || database.name === table.database);
    const tables = (await Promise.all(wanted.map((database) => tablesNamed(database, { ...table, key: [] })))).flat();
    return Promise.all(
      tables.map(async (one) => ({
        database: one.database.name,
        schema: one.schema,
        table: one.table,
        columns: one.key.map((column) => column.name),
        keys: (await rowsOfHash(one, salts, hash)).map((place) => [...place]),
      })),
    );
  });
}

const noConfig = (): SwitchbackError =>
  new SwitchbackError('ConfigInvalid', 'no configuration with databases can be read here', {
    hint: 'name it with --config: a key is told only by the databases themselves',
  });

async function withDatabases<T>(
  { config }: Settings,
  work: (databases: { all: Database[]; home: Database }) => Promise<T>,
): Promise<T> {
  const all = Object.entries(config?.databases ?? {}).map(([name, of]) => new Database(name, of));
  const home = all.find(({ name }) => name === config?.ledger);
  try {
    if (home === undefined) throw noConfig();
    return await work({ all, home });
  } finally {
    await Promise.all(all.map((database) => database.close()));
  }
}
