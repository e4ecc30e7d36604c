import type { FunctionFacts, FunctionUse } from '../facts.ts';
import { SqlFault, type Statement, statementsOf, walkSql } from '../parser.ts';
import { cascades, fieldsOf, listIn, nodeIn, objectType, textsIn } from '../tree.ts';
import { createdFunction, optionsOf, overloadsOf, storedSignature } from './function-signature.ts';
import { find, holdsRows, listed, namedByClients, shown, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

const useInWords = ({ kind, schema, relation, name }: FunctionUse, inSchema: string): string =>
  kind === 'view'
    ? `view ${shown({ schema, name: relation }, inSchema)}`
    : `${kind} ${word(name)} of ${shown({ schema, name: relation }, inSchema)}`;
const usesInWords = (uses: readonly FunctionUse[], inSchema: string): string =>
  listed(uses.map((use) => useInWords(use, inSchema)));

/** What the old body's results are kept in: it isn't computed again when the body changes. */
const KEPT: readonly FunctionUse['kind'][] = ['index', 'generated column', 'constraint'];

/** The uses of a replaced function, in tables that may hold rows; views have none of their own. */
function usesOf({ facts }: RuleContext, { usedBy = [] }: FunctionFacts, kept: boolean): FunctionUse[] {
  return usedBy.filter((use) => {
    const relation = find(facts, { schema: use.schema, name: use.relation });
    return KEPT.includes(use.kind) === kept && (use.kind === 'view' || relation === undefined || holdsRows(relation));
  });
}

const USERS = "CREATE TABLE users (id bigint, mail text);\nINSERT INTO users VALUES (1, 'A@B')";
const KEY = "CREATE FUNCTION mail_key(mail text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(mail)'";
const REPLACE_KEY =
  "CREATE OR REPLACE FUNCTION mail_key(mail text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(mail)'";

const underIndex: Rule = {
  code: 'function-replaced-under-index',
  severity: 'error',
  title: 'Function replaced whose results are stored',
  why: 'Indexes, generated columns and checks hold what the old body gave, and Postgres computes nothing anew when the body changes. From then on a query by the index misses rows, a unique index lets duplicates in, and a dump can’t be restored.',
  safeForm:
    'Make a new function under another name, build a new index on it CONCURRENTLY, let queries move over, then drop the old index.',
  check(context) {
    const found = createdFunction(context);
    const uses = found?.replaces ? usesOf(context, found.replaces, true) : [];
    return found === null || uses.length === 0
      ? []
      : [
          {
            message: `${usesInWords(uses, context.schema)} ${uses.length === 1 ? 'holds' : 'hold'} what the old body of ${shown(found.name, context.schema)} gave`,
          },
        ];
  },
  examples: {
    fires: { given: `${USERS};\n${KEY};\nCREATE INDEX by_mail ON users (mail_key(mail))`, up: REPLACE_KEY },
    silent: { given: `${USERS};\n${KEY}`, up: REPLACE_KEY, because: 'no index or generated column calls the function' },
  },
};

const TOUCH = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'";
const REPLACE_TOUCH =
  "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.mail := lower(new.mail); RETURN new; END'";
const underCallers: Rule = {
  code: 'function-replaced-under-callers',
  severity: 'warning',
  title: 'Function replaced under its callers',
  why: 'The new body counts for everybody from the commit on: for every write through a trigger, for every row a policy or a view looks at. There is no share of the traffic to try it on, and an error in it fails their statements.',
  safeForm:
    'Make a second function under another name and move its callers one by one; or make the new body do as the old one unless a setting or a flag’s column says otherwise.',
  check(context) {
    const found = createdFunction(context);
    const uses = found?.replaces ? usesOf(context, found.replaces, false) : [];
    return found === null || uses.length === 0
      ? []
      : [
          {
            message: `${usesInWords(uses, context.schema)} ${uses.length === 1 ? 'runs' : 'run'} the new body at once`,
          },
        ];
  },
  examples: {
    fires: {
      given: `${USERS};\n${TOUCH};\nCREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()`,
      up: REPLACE_TOUCH,
    },
    silent: { given: `${USERS};\n${TOUCH}`, up: REPLACE_TOUCH, because: 'no trigger, view or policy calls it' },
  },
};

/** What Postgres refuses in `CREATE OR REPLACE` of this overload, in words. */
function refusal({ replaces, written }: NonNullable<ReturnType<typeof createdFunction>>): string | null {
  const stored = replaces === null ? null : storedSignature(replaces);
  if (stored === null) return null;
  const returnsTable = replaces?.result.startsWith('TABLE(') === true;
  if (stored.result !== written.result && !returnsTable)
    return `its result is ${replaces?.result}, which CREATE OR REPLACE can't change`;
  const renamed = stored.inputs.findIndex(({ name }, at) => name !== '' && name !== written.inputs[at]?.name);
  return renamed < 0
    ? null
    : `its argument ${renamed + 1} is named ${word(stored.inputs[renamed]?.name ?? '')}, which CREATE OR REPLACE can't change`;
}

const signatureChange: Rule = {
  code: 'function-signature-change',
  severity: 'error',
  title: 'CREATE OR REPLACE FUNCTION with another signature',
  why: 'With another result or other argument names the statement fails. With other argument types it replaces nothing: it makes a second function of that name, callers go on calling the first one, and calls that fit both fail as ambiguous.',
  safeForm: 'Give the new function a name of its own, let callers move over, then drop the old one.',
  check(context) {
    const found = createdFunction(context);
    if (found === null || context.statement.node['replace'] !== true) return [];
    const name = shown(found.name, context.schema);
    const refused = refusal(found);
    if (refused !== null) return [{ message: `it fails: ${name} is there, and ${refused}` }];
    const [other] = found.others;
    if (found.replaces !== null || other === undefined) return [];
    return [
      {
        severity: 'warning',
        message: `it replaces nothing: ${name}(${other.arguments}) stays, and callers may now mean either`,
      },
    ];
  },
  examples: {
    fires: {
      given: KEY,
      up: "CREATE OR REPLACE FUNCTION mail_key(mail text) RETURNS bytea LANGUAGE sql IMMUTABLE AS 'SELECT sha256(mail::bytea)'",
    },
    silent: { given: KEY, up: REPLACE_KEY, because: 'arguments and result are those of the function that is there' },
  },
};

const definer: Rule = {
  code: 'security-definer-without-search-path',
  severity: 'error',
  title: 'SECURITY DEFINER without a search_path of its own',
  why: 'Such a function runs with its owner’s rights but finds names by its caller’s search_path: whoever may create a table or an operator anywhere on it can make the function run theirs, as the owner.',
  safeForm: '`SET search_path = pg_catalog, the_schema, pg_temp` in the definition, with `pg_temp` last.',
  check(context) {
    const { statement, schema } = context;
    const message = (name: string): string => `callers choose by their search_path what ${name} runs as its owner`;
    const options = optionsOf(statement.node['options'] ?? statement.node['actions']);
    if (options.get('security')?.['Boolean'] === undefined || options.has('set search_path')) return [];
    if (nodeIn(options.get('security')?.['Boolean'])['boolval'] !== true) return [];
    const created = createdFunction(context);
    // The names in a body of BEGIN ATOMIC or RETURN are resolved when it is created.
    if (created !== null)
      return statement.node['sql_body'] === undefined ? [{ message: message(shown(created.name, schema)) }] : [];
    if (statement.kind !== 'AlterFunctionStmt') return [];
    return overloadsOf(context, nodeIn(statement.node['func']))
      .filter((one) => !one.fixedSearchPath)
      .map((one) => ({ message: message(shown(one, schema)) }));
  },
  examples: {
    fires: { given: KEY, up: 'ALTER FUNCTION mail_key(text) SECURITY DEFINER' },
    silent: {
      given: `${KEY};\nALTER FUNCTION mail_key(text) SET search_path = pg_catalog`,
      up: 'ALTER FUNCTION mail_key(text) SECURITY DEFINER',
      because: 'the function’s settings fix its search_path',
    },
  },
};

/** Functions of Postgres whose result isn't a matter of their arguments alone. */
const CHANGING = new Set(
  `now clock_timestamp statement_timestamp transaction_timestamp timeofday random random_normal gen_random_uuid uuidv4 uuidv7
   nextval currval lastval current_setting txid_current pg_current_xact_id pg_backend_pid current_database`.split(
    /\s+/,
  ),
);

/** What a body in SQL depends on besides its arguments, in words. */
function dependsOn(body: unknown): string[] {
  const found = new Set<string>();
  walkSql(body, (kind, fields) => {
    if (kind === 'RangeVar') found.add(`the rows of ${word(String(fields['relname']))}`);
    if (kind === 'SQLValueFunction') found.add('the session’s clock or user');
    const called = kind === 'FuncCall' ? textsIn(fields['funcname']).at(-1) : undefined;
    if (called !== undefined && CHANGING.has(called)) found.add(`${called}()`);
  });
  return [...found];
}

function sqlBody({ node }: Statement, options: ReturnType<typeof optionsOf>): unknown {
  if (node['sql_body'] !== undefined) return node['sql_body'];
  const [text] = textsIn({ List: nodeIn(options.get('as')?.['List']) });
  if (nodeIn(options.get('language')?.['String'])['sval'] !== 'sql' || text === undefined) return null;
  try {
    return statementsOf(text).map(({ kind, node: fields }) => ({ [kind]: fields }));
  } catch (error) {
    if (error instanceof SqlFault) return null;
    throw error;
  }
}

const immutableLies: Rule = {
  code: 'immutable-function-depends-on-more',
  severity: 'error',
  title: 'IMMUTABLE function whose result is not a matter of its arguments',
  why: 'Postgres takes IMMUTABLE on trust: it computes such a function once per plan and stores its results in indexes. Where the body reads a table, the clock or a setting, queries give old answers and indexes miss rows.',
  safeForm:
    'Declare it `STABLE` (reads tables, settings) or leave it `VOLATILE`; give it as an argument what it depends on.',
  check(context) {
    const found = createdFunction(context);
    if (found === null) return [];
    const options = optionsOf(context.statement.node['options']);
    if (nodeIn(options.get('volatility')?.['String'])['sval'] !== 'immutable') return [];
    const causes = dependsOn(sqlBody(context.statement, options));
    const name = shown(found.name, context.schema);
    return causes.length === 0 ? [] : [{ message: `the result of ${name} also depends on ${listed(causes)}` }];
  },
  examples: {
    fires: {
      given: USERS,
      up: "CREATE FUNCTION mail_of(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT mail FROM users WHERE id = n'",
    },
    silent: { given: USERS, up: KEY, because: 'the body uses nothing but its argument' },
  },
};

const FUNCTION_OBJECTS = new Set(['OBJECT_FUNCTION', 'OBJECT_PROCEDURE', 'OBJECT_ROUTINE', 'OBJECT_AGGREGATE']);
const dropFunction: Rule = {
  code: 'drop-function-under-callers',
  severity: 'error',
  title: 'Function dropped under its callers',
  why: 'Without CASCADE Postgres refuses while a trigger, an index or a view uses the function; with it, they go too. Calls from clients and from the bodies of other functions don’t show in the catalog: they fail from the commit on.',
  safeForm: 'Move its callers to another function first; drop it in a later migration, when nobody calls it any more.',
  check(context) {
    const { statement, schema, facts } = context;
    if (statement.kind !== 'DropStmt' || !FUNCTION_OBJECTS.has(objectType(statement))) return [];
    return listIn(statement.node['objects']).flatMap((item) =>
      overloadsOf(context, fieldsOf(item, 'ObjectWithArgs') ?? {}).map((one): Hit => {
        const name = shown(one, schema);
        const uses = one.usedBy ?? [];
        const calls = namedByClients(facts, one.name);
        if (uses.length > 0)
          return {
            message: cascades(statement)
              ? `CASCADE drops ${usesInWords(uses, schema)} with ${name}`
              : `it fails: ${usesInWords(uses, schema)} ${uses.length === 1 ? 'uses' : 'use'} ${name}`,
          };
        if (calls > 0) return { message: `statements of clients in pg_stat_statements name ${name}` };
        return { severity: 'warning', message: `whoever calls ${name} fails; the catalog doesn't show who that is` };
      }),
    );
  },
  examples: {
    fires: {
      given: `${USERS};\n${TOUCH};\nCREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()`,
      up: 'DROP FUNCTION touch() CASCADE',
    },
    silent: { given: USERS, up: 'DROP FUNCTION IF EXISTS touch()', because: 'there is no such function' },
  },
};

export const FUNCTION_RULES: readonly Rule[] = [
  underIndex,
  underCallers,
  signatureChange,
  definer,
  immutableLies,
  dropFunction,
];
