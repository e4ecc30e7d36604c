import type { RelationFacts } from '../facts.ts';
import {
  type AlterCommand,
  alterCommands,
  droppedObjects,
  fieldsOf,
  kindOf,
  listIn,
  nameIn,
  nodeIn,
  objectType,
  relationIn,
  textIn,
} from '../tree.ts';
import { counted, find, holdsRows, listed, shown, sizeInWords, subject, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

const commandsOf = ({ statement }: RuleContext, ...subtypes: string[]): AlterCommand[] =>
  alterCommands(statement).filter(({ subtype }) => subtypes.includes(subtype));

/** Who else than the owner may use it: `app and reporting`, or the people it hits in general. */
const usersOf = ({ standing }: RelationFacts): string => {
  const grantees = [...new Set(standing?.grants.map((one) => one.grantee))];
  return grantees.length === 0 ? 'everybody but its owner' : listed(grantees);
};
const permissive = ({ standing }: RelationFacts): number =>
  standing?.policies.filter((policy) => policy.permissive).length ?? 0;

const USERS = 'CREATE TABLE users (id bigint, team text);\nINSERT INTO users VALUES (1, current_user)';
const GRANTED = `${USERS};\nGRANT SELECT ON users TO PUBLIC`;
const POLICY = 'CREATE POLICY own ON users USING (team = current_user)';
const ENABLE = 'ALTER TABLE users ENABLE ROW LEVEL SECURITY';

const withoutPolicy: Rule = {
  code: 'enable-row-security-without-policy',
  severity: 'error',
  title: 'Row security switched on without a policy',
  why: 'Where row security is on and no policy allows anything, everybody but the owner reads no rows and writes none: no error, just an empty table. A restrictive policy alone allows nothing either.',
  safeForm: 'Create the policies first: they count for nobody until row security is on.',
  check(context) {
    const table = subject(context);
    const [command] = commandsOf(context, 'AT_EnableRowSecurity');
    if (command === undefined || table === undefined || !holdsRows(table)) return [];
    if (table.rowSecurity.enabled || permissive(table) > 0) return [];
    return [
      {
        message: `${usersOf(table)} would find ${shown(table, context.schema)} (${sizeInWords(table)}) empty`,
      },
    ];
  },
  examples: {
    fires: { given: GRANTED, up: ENABLE },
    silent: { given: `${GRANTED};\n${POLICY}`, up: ENABLE, because: 'the table has a policy that lets rows be seen' },
  },
};

const forced: Rule = {
  code: 'force-row-security',
  severity: 'warning',
  title: 'Row security forced on the owner',
  why: 'With FORCE, policies count for the table’s owner too: an application that connects as the owner sees fewer rows from the commit on. The worker’s sessions have `row_security = off`, which turns what would be filtered into an error: backfills and verifications of the table fail unless its role has BYPASSRLS.',
  safeForm: 'Give the worker’s role BYPASSRLS, and the application a role of its own that isn’t the owner, before.',
  check(context) {
    const table = subject(context);
    const [command] = commandsOf(context, 'AT_ForceRowSecurity');
    if (command === undefined || table === undefined || table.fresh || table.rowSecurity.forced) return [];
    const { role } = context.facts;
    const owner = table.standing === undefined ? 'its owner' : word(table.standing.owner);
    const name = shown(table, context.schema);
    if (!role.bypassesRowSecurity)
      return [
        {
          severity: 'error',
          message: `backfills of ${name} fail: the worker's role ${word(role.name)} lacks BYPASSRLS`,
        },
      ];
    return [{ message: `${owner}, who owns ${name}, sees only what its policies allow, from the commit on` }];
  },
  examples: {
    fires: { given: `${USERS};\n${POLICY};\n${ENABLE}`, up: 'ALTER TABLE users FORCE ROW LEVEL SECURITY' },
    silent: {
      given: `${USERS};\n${POLICY};\n${ENABLE}, FORCE ROW LEVEL SECURITY`,
      up: 'ALTER TABLE users FORCE ROW LEVEL SECURITY',
      because: 'it is forced already',
    },
  },
};

/** The table whose policies a statement changes, and whether it takes the last permissive one away. */
function policyChange(context: RuleContext): { table: RelationFacts; verb: string; policy: string; last: boolean }[] {
  const { statement, schema, facts } = context;
  const { kind, node } = statement;
  if (kind === 'DropStmt' && objectType(statement) === 'OBJECT_POLICY')
    return droppedObjects(statement).flatMap((texts) => {
      const table = find(facts, nameIn(texts.slice(0, -1), schema));
      const policy = table?.standing?.policies.find((one) => one.name === texts.at(-1));
      if (table === undefined || policy === undefined) return [];
      return [{ table, verb: 'dropped', policy: policy.name, last: policy.permissive && permissive(table) === 1 }];
    });
  if (kind !== 'CreatePolicyStmt' && kind !== 'AlterPolicyStmt') return [];
  const table = find(facts, relationIn(node['table'], schema));
  const verb = kind === 'CreatePolicyStmt' ? 'created' : 'changed';
  return table === undefined ? [] : [{ table, verb, policy: textIn(node['policy_name']), last: false }];
}

const policyUnderReaders: Rule = {
  code: 'policy-change-under-readers',
  severity: 'warning',
  title: 'Policy changed while row security is on',
  why: 'From the commit on, everybody whom the policy concerns sees and writes other rows: no error tells them. Without any permissive policy left they see none at all.',
  safeForm:
    'Create the new policy beside the old one where it allows more; where it allows less, make sure that no reader needs the rows it takes away.',
  check(context) {
    return policyChange(context).flatMap(({ table, verb, policy, last }): Hit[] => {
      if (!table.rowSecurity.enabled || !holdsRows(table)) return [];
      const name = shown(table, context.schema);
      return [
        last
          ? { severity: 'error', message: `without ${word(policy)}, ${usersOf(table)} would find ${name} empty` }
          : { message: `${usersOf(table)} see and write other rows of ${name} once ${word(policy)} is ${verb}` },
      ];
    });
  },
  examples: {
    fires: { given: `${GRANTED};\n${POLICY};\n${ENABLE}`, up: 'DROP POLICY own ON users' },
    silent: {
      given: `${GRANTED};\n${POLICY}`,
      up: 'DROP POLICY own ON users',
      because: 'row security is off: no policy counts',
    },
  },
};

const ALL_PRIVILEGES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'];

/** GRANT and REVOKE on tables, taken apart; roles by name, PUBLIC in capitals. */
function grant({ statement, schema, facts }: RuleContext): {
  grants: boolean;
  objects: string;
  tables: RelationFacts[];
  whole: boolean;
  privileges: string[];
  roles: string[];
} | null {
  const { kind, node } = statement;
  if (kind !== 'GrantStmt') return null;
  const objects = listIn(node['objects']);
  const inSchemas = node['targtype'] === 'ACL_TARGET_ALL_IN_SCHEMA';
  const tables = inSchemas
    ? []
    : objects.flatMap((object) =>
        fieldsOf(object, 'RangeVar') === null ? [] : (find(facts, relationIn(object, schema)) ?? []),
      );
  const named = listIn(node['privileges']).map((item) =>
    textIn(fieldsOf(item, 'AccessPriv')?.['priv_name']).toUpperCase(),
  );
  const names = objects.map((object) => {
    const { kind: of, fields } = kindOf(object);
    if (of === 'RangeVar') return shown(relationIn(object, schema), schema);
    return of === 'ObjectWithArgs'
      ? listIn(fields['objname'])
          .map((part) => textIn(fieldsOf(part, 'String')?.['sval']))
          .join('.')
      : textIn(fields['sval']);
  });
  return {
    grants: node['is_grant'] === true,
    objects: inSchemas ? `everything in schema ${listed(names)}` : listed(names),
    tables,
    whole: tables.length === objects.length,
    privileges: named.length === 0 ? ALL_PRIVILEGES : named,
    roles: listIn(node['grantees']).map((item) => {
      const role = fieldsOf(item, 'RoleSpec') ?? {};
      return role['roletype'] === 'ROLESPEC_PUBLIC' ? 'PUBLIC' : textIn(role['rolename']) || facts.role.name;
    }),
  };
}
const holds = ({ standing }: RelationFacts, grantee: string, privilege: string): boolean =>
  standing?.grants.some((one) => one.grantee === grantee && one.privilege === privilege) === true;

const WRITES = new Set(['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN']);
const toPublic: Rule = {
  code: 'grant-to-public',
  severity: 'warning',
  title: 'Privilege granted to everybody',
  why: 'PUBLIC is every role of the server, those made later included: other applications, read-only accounts, people. With a privilege to write, any of them can change the rows.',
  safeForm: 'Grant it to the roles that need it.',
  check(context) {
    const found = grant(context);
    if (found === null || !found.grants || !found.roles.includes('PUBLIC')) return [];
    const fresh = found.privileges.filter(
      (privilege) => !found.whole || found.tables.some((table) => !holds(table, 'PUBLIC', privilege)),
    );
    if (fresh.length === 0) return [];
    const isTable = found.tables.length > 0;
    const severity = isTable && fresh.some((privilege) => WRITES.has(privilege)) ? { severity: 'error' as const } : {};
    return [{ ...severity, message: `every role of the server gets ${listed(fresh, 8)} on ${found.objects}` }];
  },
  examples: {
    fires: { given: USERS, up: 'GRANT SELECT, UPDATE ON users TO PUBLIC' },
    silent: { given: GRANTED, up: 'GRANT SELECT ON users TO PUBLIC', because: 'PUBLIC has the privilege already' },
  },
};

const revokes: Rule = {
  code: 'revoke-under-users',
  severity: 'error',
  title: 'Privilege taken from a role that has it',
  why: 'Running sessions of that role fail at their next statement (42501, permission denied), in the middle of what they do. The catalog shows who has a privilege, not who uses it.',
  safeForm:
    'Make sure that the role no longer needs it: give the application its new role first, then revoke from the old one.',
  check(context) {
    const found = grant(context);
    if (found === null || found.grants) return [];
    return found.tables.flatMap((table): Hit[] => {
      if (table.fresh) return [];
      const losers = found.roles.filter((role) => found.privileges.some((privilege) => holds(table, role, privilege)));
      const lost = found.privileges.filter((privilege) => losers.some((role) => holds(table, role, privilege)));
      return losers.length === 0
        ? []
        : [{ message: `${listed(losers)} can no longer ${listed(lost, 8)} ${shown(table, context.schema)}` }];
    });
  },
  examples: {
    fires: { given: GRANTED, up: 'REVOKE SELECT ON users FROM PUBLIC' },
    silent: { given: USERS, up: 'REVOKE SELECT ON users FROM PUBLIC', because: 'PUBLIC doesn’t have the privilege' },
  },
};

const ownerChange: Rule = {
  code: 'owner-change',
  severity: 'warning',
  title: 'Owner changed under its users',
  why: 'The old owner loses the rights that ownership gave, and everything it never needed a grant for: an application that connects as the owner fails at its next statement. The worker’s role must be a member of the new owner, or the plan’s later steps fail.',
  safeForm: 'Grant the old owner what it needs before; make the worker’s role a member of the new one.',
  check(context) {
    const table = subject(context);
    const [command] = commandsOf(context, 'AT_ChangeOwner');
    if (command === undefined || table?.standing === undefined || table.fresh) return [];
    const role = nodeIn(
      listIn(context.statement.node['cmds']).map((one) => fieldsOf(one, 'AlterTableCmd'))[0]?.['newowner'],
    );
    const next = textIn(role['rolename']) || context.facts.role.name;
    const owner = table.standing.owner;
    if (next === owner) return [];
    return [
      {
        message: `${word(owner)} loses every right on ${shown(table, context.schema)} that it has as its owner; they are ${word(next)}'s then`,
      },
    ];
  },
  examples: {
    fires: { given: `CREATE ROLE reporting;\n${USERS}`, up: 'ALTER TABLE users OWNER TO reporting' },
    silent: { given: USERS, up: 'ALTER TABLE users OWNER TO CURRENT_USER', because: 'that role owns it already' },
  },
};

const defaultPrivileges: Rule = {
  code: 'default-privileges-unseen',
  severity: 'error',
  title: 'ALTER DEFAULT PRIVILEGES without a way back',
  why: 'Default privileges are no property of an object: they count for what is created later, by the role that gave them. The record of what a step changed doesn’t hold them, so that rollback can’t take them back by itself. Tables that exist keep what they have.',
  safeForm: 'Write `down` with the opposite statement; grant on the tables that exist with a `GRANT` of their own.',
  check(context) {
    const { kind, node } = context.statement;
    if (kind !== 'AlterDefaultPrivilegesStmt' || context.hasDown) return [];
    const schemas = listIn(node['options']).flatMap((item) => {
      const option = fieldsOf(item, 'DefElem') ?? {};
      return option['defname'] === 'schemas' ? listIn(fieldsOf(option['arg'], 'List')?.['items']) : [];
    });
    const names = schemas.map((item) => textIn(fieldsOf(item, 'String')?.['sval']));
    const where =
      names.length === 0 ? 'in every schema' : `in ${counted(names.length, 'schema')} (${listed(names.map(word))})`;
    return [{ message: `rollback can't take back what counts for new objects ${where}, and the step has no \`down\`` }];
  },
  examples: {
    fires: { given: USERS, up: 'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC' },
    silent: {
      given: USERS,
      up: 'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC',
      down: 'ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC',
      because: 'the step says how it is taken back',
    },
  },
};

export const SECURITY_RULES: readonly Rule[] = [
  withoutPolicy,
  forced,
  policyUnderReaders,
  toPublic,
  revokes,
  ownerChange,
  defaultPrivileges,
];
