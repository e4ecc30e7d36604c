import { alterCommands, fieldsOf, listIn, nodeIn, relationIn, textIn, textsIn } from '../tree.ts';
import { find, holdsRows, isLarge, listed, shown, sizeInWords, subject, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

/** The storage parameters that a statement sets, as they stand in `reloptions`: `autovacuum_enabled` → `off`. */
function optionsSet({ statement }: RuleContext): Map<string, string> {
  const lists = alterCommands(statement)
    .filter(({ subtype }) => subtype === 'AT_SetRelOptions')
    .flatMap(({ def }) => listIn(def['items']));
  const created = statement.kind === 'CreateStmt' ? listIn(statement.node['options']) : [];
  return new Map(
    [...lists, ...created].map((item) => {
      const option = fieldsOf(item, 'DefElem') ?? {};
      const prefix = textIn(option['defnamespace']);
      const name = textIn(option['defname']);
      return [prefix === '' ? name : `${prefix}.${name}`, valueOf(option['arg'])];
    }),
  );
}

/** A parameter's value as text; one without is `true`. */
function valueOf(arg: unknown): string {
  if (arg === undefined) return 'true';
  const integer = fieldsOf(arg, 'Integer');
  if (integer !== null) return String(Number(integer['ival'] ?? 0));
  const text = fieldsOf(arg, 'String') ?? fieldsOf(arg, 'Float');
  if (text !== null) return textIn(text['sval'] ?? text['fval']);
  return textsIn(arg).at(-1) ?? '';
}
const isOff = (value: string | undefined): boolean => value !== undefined && /^(off|false|no|0|f|n)$/i.test(value);

const LOGS = (rows: number): string =>
  `CREATE TABLE logs (id bigint PRIMARY KEY, line text);\nINSERT INTO logs SELECT i, 'x' FROM generate_series(1, ${rows}) i;\nANALYZE logs`;

const NO_VACUUM = 'ALTER TABLE logs SET (autovacuum_enabled = off)';
const autovacuum: Rule = {
  code: 'autovacuum-disabled',
  severity: 'error',
  title: 'Autovacuum switched off for a table',
  why: 'Nothing removes dead rows any more and nothing counts the live ones: the table and its indexes grow with every update, plans go wrong, and one day Postgres starts a vacuum against wraparound that can’t be put off.',
  safeForm:
    'Leave it on, and make it gentler where it disturbs (`autovacuum_vacuum_cost_delay`), or more frequent where it comes too late (`autovacuum_vacuum_scale_factor`).',
  check(context) {
    const table = subject(context);
    if (table === undefined || !holdsRows(table)) return [];
    return ['autovacuum_enabled', 'toast.autovacuum_enabled'].flatMap((option): Hit[] => {
      if (!isOff(optionsSet(context).get(option))) return [];
      const before = table.standing?.options.find((one) => one.startsWith(`${option}=`));
      if (isOff(before?.slice(option.length + 1))) return [];
      return [{ message: `dead rows of ${shown(table, context.schema)} (${sizeInWords(table)}) stay for good` }];
    });
  },
  examples: {
    fires: { given: LOGS(5), up: NO_VACUUM },
    silent: { given: `${LOGS(5)};\n${NO_VACUUM}`, up: NO_VACUUM, because: 'it is off already' },
  },
};

const unlogged: Rule = {
  code: 'unlogged-table',
  severity: 'error',
  title: 'Table that a crash empties',
  why: 'An UNLOGGED table writes no WAL: after a crash or a failover Postgres finds it empty, and replicas and point-in-time recovery never have its rows. `SET UNLOGGED` also rewrites the table under an ACCESS EXCLUSIVE lock.',
  safeForm: 'Leave it logged, unless every row can be made again from elsewhere.',
  check(context) {
    const { statement, schema } = context;
    if (statement.kind === 'CreateStmt' || statement.kind === 'CreateTableAsStmt') {
      const made = nodeIn(
        statement.kind === 'CreateStmt' ? statement.node['relation'] : nodeIn(statement.node['into'])['rel'],
      );
      if (made['relpersistence'] !== 'u' || find(context.facts, relationIn(made, schema)) !== undefined) return [];
      return [
        {
          severity: 'warning',
          message: `a crash empties ${shown(relationIn(made, schema), schema)}, and replicas never have its rows`,
        },
      ];
    }
    const table = subject(context);
    const sets = alterCommands(statement).some(({ subtype }) => subtype === 'AT_SetUnLogged');
    if (!sets || table === undefined || table.fresh || table.standing?.persistence === 'unlogged') return [];
    const rows = holdsRows(table) ? ` (${sizeInWords(table)})` : '';
    return [{ message: `a crash empties ${shown(table, schema)}${rows}, and replicas lose it at once` }];
  },
  examples: {
    fires: { given: LOGS(5), up: 'ALTER TABLE logs SET UNLOGGED' },
    silent: {
      given: 'CREATE UNLOGGED TABLE logs (id bigint PRIMARY KEY, line text)',
      up: 'ALTER TABLE logs SET UNLOGGED',
      because: 'the table is unlogged already',
    },
  },
};

/** Parameters that shape pages when they are written: of what is there, a rewrite only. */
const OF_NEW_PAGES = ['fillfactor', 'toast_tuple_target'];
const newPagesOnly: Rule = {
  code: 'fillfactor-needs-rewrite',
  severity: 'note',
  title: 'Storage parameter that changes new pages only',
  why: '`fillfactor` and `toast_tuple_target` count for pages and rows written from then on. Those that are there stay as they are until the table is rewritten or they are updated, so that the effect comes slowly or not at all.',
  safeForm: 'Set it before a backfill, which writes every row; or expect it to count for new rows only.',
  check(context) {
    const table = subject(context);
    if (table === undefined || !isLarge(table)) return [];
    const set = [...optionsSet(context).keys()].filter((name) => OF_NEW_PAGES.includes(name));
    return set.length === 0
      ? []
      : [
          {
            message: `${listed(set)} counts for new pages: ${shown(table, context.schema)} (${sizeInWords(table)}) stays as it is`,
          },
        ];
  },
  examples: {
    fires: { given: LOGS(20_000), up: 'ALTER TABLE logs SET (fillfactor = 70)' },
    silent: {
      given: 'CREATE TABLE logs (id bigint PRIMARY KEY, line text)',
      up: 'ALTER TABLE logs SET (fillfactor = 70)',
      because: 'the table holds no rows',
    },
  },
};

const IDENTITIES: Readonly<Record<string, 'nothing' | 'full' | 'default' | 'index'>> = {
  n: 'nothing',
  f: 'full',
  d: 'default',
  i: 'index',
};
const PUBLISHED = `${LOGS(5)};\nDROP PUBLICATION IF EXISTS log_lines;\nCREATE PUBLICATION log_lines FOR TABLE logs`;
const NOTHING = 'ALTER TABLE logs REPLICA IDENTITY NOTHING';
const replicaIdentity: Rule = {
  code: 'replica-identity-change',
  severity: 'warning',
  title: 'Replica identity of a published table changed',
  why: 'Subscribers find the row of an UPDATE or DELETE by the replica identity. With NOTHING, every UPDATE and DELETE of a published table fails at once. With FULL, each writes the whole old row to the WAL, and a subscriber without a fitting index reads its table for every row.',
  safeForm: 'A primary key, or `USING INDEX` with a unique index over NOT NULL columns that subscribers have too.',
  check(context) {
    const table = subject(context);
    if (table === undefined || table.replicatedBy.length === 0) return [];
    const name = shown(table, context.schema);
    return alterCommands(context.statement).flatMap((command): Hit[] => {
      const next =
        command.subtype === 'AT_ReplicaIdentity' ? IDENTITIES[textIn(command.def['identity_type'])] : undefined;
      if (next === undefined || (next === table.standing?.replicaIdentity && next !== 'index')) return [];
      const by = listed(table.replicatedBy.map(word));
      const keyless = next === 'default' && !table.constraints.some((one) => one.kind === 'primary');
      if (next === 'nothing' || keyless)
        return [
          { severity: 'error', message: `every UPDATE and DELETE of ${name} fails at once: it is published by ${by}` },
        ];
      return next === 'full'
        ? [{ message: `every UPDATE and DELETE of ${name} writes the whole old row to the WAL, for ${by}` }]
        : [{ severity: 'note', message: `subscribers of ${by} find rows of ${name} by another key from then on` }];
    });
  },
  examples: {
    fires: { given: PUBLISHED, up: NOTHING },
    silent: { given: LOGS(5), up: NOTHING, because: 'no publication has the table' },
  },
};

export const STORAGE_RULES: readonly Rule[] = [autovacuum, unlogged, newPagesOnly, replicaIdentity];
