import { droppedObjects, nameIn, objectType } from '../tree.ts';
import { altered } from './altered-table.ts';
import { EMPTY_USERS } from './example-tables.ts';
import { find, listed, shown, subject, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

/** Subcommands after which the rows, or the key by which they are found, aren't what the other side has. */
const CHANGES_ROWS: Readonly<Record<string, string>> = {
  AT_AddColumn: 'a column more',
  AT_DropColumn: 'a column less',
  AT_AlterColumnType: 'a column of another type',
  AT_AttachPartition: 'a partition more',
  AT_DetachPartition: 'a partition less',
};

function changesIn(context: RuleContext): string[] {
  const { statement } = context;
  if (statement.kind === 'RenameStmt') {
    const type = objectType(statement);
    return type === 'OBJECT_TABLE' || type === 'OBJECT_COLUMN' ? ['another name'] : [];
  }
  if (statement.kind === 'AlterObjectSchemaStmt') return ['another schema'];
  const commands = altered(context)?.commands ?? [];
  return [...new Set(commands.flatMap(({ subtype }) => CHANGES_ROWS[subtype] ?? []))];
}

const replicatedTable: Rule = {
  code: 'replicated-table',
  severity: 'error',
  title: 'Table that is replicated logically',
  why: "Logical replication carries rows, not DDL. After the change the publisher sends rows that the subscriber's table can't take: its apply worker fails, and fails again, and meanwhile the publisher keeps all its write-ahead log. At a subscriber it is the same from the other side.",
  safeForm:
    'Change the subscriber first where a column is added, last where one is dropped; give the plan a step for it, and name this rule in `allow` with that step as the reason.',
  check(context) {
    const { statement, schema, facts } = context;
    if (statement.kind === 'DropStmt' && objectType(statement) === 'OBJECT_TABLE') {
      return droppedObjects(statement).flatMap((texts): Hit[] => {
        const table = find(facts, nameIn(texts, schema));
        if (table === undefined || table.replicatedBy.length === 0) return [];
        return [
          {
            message: `${shown(table, schema)} is in ${listed(table.replicatedBy.map(word))}: the other side goes without its rows`,
          },
        ];
      });
    }
    const table = subject(context);
    const changes = table === undefined || table.replicatedBy.length === 0 ? [] : changesIn(context);
    if (table === undefined || changes.length === 0) return [];
    return [
      {
        message: `${shown(table, schema)} is in ${listed(table.replicatedBy.map(word))}: it has ${listed(changes)} than the table at the other end`,
      },
    ];
  },
  examples: {
    fires: {
      given: `${EMPTY_USERS};\nCREATE PUBLICATION to_reporting FOR TABLE users`,
      up: 'ALTER TABLE users ADD COLUMN handle text',
    },
    silent: {
      given: `${EMPTY_USERS};\nCREATE TABLE visits (id bigint PRIMARY KEY);\nCREATE PUBLICATION to_reporting FOR TABLE visits`,
      up: 'ALTER TABLE users ADD COLUMN handle text',
      because: 'the publication has another table only',
    },
  },
};

export const REPLICATION_RULES: readonly Rule[] = [replicatedTable];
