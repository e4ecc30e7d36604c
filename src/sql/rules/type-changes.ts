import type { RelationFacts } from '../facts.ts';
import { typeChangeOf } from '../impact/change-type.ts';
import { type AlterCommand, nodeIn } from '../tree.ts';
import { typeIn, typeOf, typeText } from '../type-name.ts';
import { altered, members } from './altered-table.ts';
import { large } from './example-tables.ts';
import { holdsRows, isLarge, shown, sizeInWords, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

interface Change {
  table: RelationFacts;
  command: AlterCommand;
  /** The types, as the catalog prints them. */
  from: string;
  to: string;
}

/** The changes of type in a statement, of columns that are there. */
function changes(context: RuleContext): Change[] {
  const found = altered(context);
  if (found === null) return [];
  return found.commands.flatMap((command) => {
    const column = found.table.columns.find(({ name }) => name === command.name);
    if (command.subtype !== 'AT_AlterColumnType' || column === undefined) return [];
    const to = typeText(typeOf(nodeIn(command.def['typeName']), context.schema));
    return [{ table: found.table, command, from: column.type, to }];
  });
}
const change = (context: RuleContext, { table, command }: Change) =>
  typeChangeOf(context, table, { column: command.name, def: command.def });

const PRICES = large(
  'prices',
  'id bigint PRIMARY KEY, amount integer, code varchar(10), at timestamp',
  "i, i, 'x', now()",
);
const changedIn = (context: RuleContext, { table, command, from, to }: Change): string =>
  `${word(command.name)} of ${shown(table, context.schema)} (${sizeInWords(table)}) from ${from} to ${to}`;

const typeChangeRewrites: Rule = {
  code: 'type-change-rewrites',
  severity: 'error',
  title: 'Change of type that writes the table anew',
  why: "Most changes of type (`integer` to `bigint`, anything with USING, a shorter length) compute every row anew under ACCESS EXCLUSIVE, and build every index anew. Nobody reads or writes the table until it is done, clients' prepared statements fail, and the disk holds both copies.",
  safeForm:
    'Add a column of the new type, keep both in step with `dual-write`, fill it with `backfill`, move the readers over, then `retire` the old one. Postgres has no shorter way.',
  check(context) {
    return changes(context)
      .filter((one) => change(context, one).rewrites && members(context, one.table).some((table) => isLarge(table)))
      .map((one) => ({
        message: `readers and writers wait until every row and every index is written anew: ${changedIn(context, one)}`,
      }));
  },
  examples: {
    fires: { given: PRICES, up: 'ALTER TABLE prices ALTER COLUMN amount TYPE bigint' },
    silent: {
      given: PRICES,
      up: 'ALTER TABLE prices ALTER COLUMN code TYPE varchar(20)',
      because: 'the column is varchar(10) now: every value fits the longer length as it stands',
    },
  },
};

const typeChangeScans: Rule = {
  code: 'type-change-scans',
  severity: 'error',
  title: 'Change of type that reads the table',
  why: "Where the rows can stay as they are, what was made of the column often can't: indexes with other operators (timestamp and timestamptz), on expressions or with a predicate are built anew, and checks on the column look at every row, all under ACCESS EXCLUSIVE.",
  safeForm:
    'Drop the check or the index first, change the type, which then takes a moment, and make it again: the engine does that NOT VALID or CONCURRENTLY.',
  check(context) {
    return changes(context).flatMap((one): Hit[] => {
      const { rewrites } = change(context, one);
      const scan = context.impact.scans.find(
        ({ schema, relation }) => schema === one.table.schema && relation === one.table.name,
      );
      if (rewrites || scan === undefined || !isLarge(one.table)) return [];
      return [{ message: `readers and writers wait, for ${scan.why}: ${changedIn(context, one)}` }];
    });
  },
  examples: {
    fires: {
      given: `${PRICES};\nALTER TABLE prices ADD CONSTRAINT code_given CHECK (code <> '')`,
      up: 'ALTER TABLE prices ALTER COLUMN code TYPE text',
    },
    silent: {
      given: PRICES,
      up: 'ALTER TABLE prices ALTER COLUMN code TYPE text',
      because: 'no index and no check has to be made anew: only the catalog changes',
    },
  },
};

const timeZoneAssumed: Rule = {
  code: 'time-zone-assumed',
  severity: 'warning',
  title: 'Times that change their meaning with their type',
  why: "A change between `timestamp` and `timestamptz` without USING reads the values in the time zone of whoever runs it. The engine's sessions are in UTC, so times that were meant as local ones move by their offset, silently. In UTC the rows needn't be written anew.",
  safeForm:
    "Where the values are local times, say so: `USING at AT TIME ZONE 'Europe/Vienna'`; that writes the table anew, so better with a new column and `backfill`.",
  check(context) {
    return changes(context).flatMap((one): Hit[] => {
      const pair = [typeIn(one.from), typeIn(one.to)].map(({ name }) => name).join(' ');
      const crosses = pair === 'timestamp timestamptz' || pair === 'timestamptz timestamp';
      if (!crosses || one.command.def['raw_default'] !== undefined || !holdsRows(one.table)) return [];
      return [
        { message: `the times in ${word(one.command.name)} of ${shown(one.table, context.schema)} are taken for UTC` },
      ];
    });
  },
  examples: {
    fires: { given: PRICES, up: 'ALTER TABLE prices ALTER COLUMN at TYPE timestamptz' },
    silent: {
      given: 'CREATE TABLE prices (id bigint PRIMARY KEY, at timestamp)',
      up: 'ALTER TABLE prices ALTER COLUMN at TYPE timestamptz',
      because: 'there is no time in it yet',
    },
  },
};

/** Types whose values all fit the other, by name; lengths and precisions apart. */
const WIDER: Readonly<Record<string, readonly string[]>> = {
  int2: ['int4', 'int8', 'numeric', 'float8', 'float4', 'text', 'varchar'],
  int4: ['int8', 'numeric', 'float8', 'text', 'varchar'],
  int8: ['numeric', 'text', 'varchar'],
  float4: ['float8', 'text', 'varchar'],
  varchar: ['text'],
  bpchar: ['text'],
  json: ['text'],
  date: ['timestamp', 'timestamptz'],
  timestamp: ['timestamptz'],
  timestamptz: ['timestamp'],
  uuid: ['text'],
  cidr: ['inet'],
};

const typeChangeMayFail: Rule = {
  code: 'type-change-may-fail',
  severity: 'warning',
  title: 'Change of type that a value can make fail',
  why: "A shorter length, a smaller number or a cast from text fails at the first value that doesn't fit, after all rows before it were read and written under ACCESS EXCLUSIVE. Some casts don't fail but round or cut: `numeric(10,2)` to `numeric(10,1)`, `timestamp(6)` to `timestamp(0)`.",
  safeForm:
    "Count the values that don't fit first (a `check` step), or fill a new column with `backfill`, where a row that fails is set aside and named.",
  check(context) {
    return changes(context)
      .filter((one) => holdsRows(one.table) && change(context, one).rewrites && !fits(one.from, one.to))
      .map((one) => ({ message: `a value that doesn't fit makes it fail or is cut: ${changedIn(context, one)}` }));
  },
  examples: {
    fires: { given: PRICES, up: 'ALTER TABLE prices ALTER COLUMN code TYPE varchar(5)' },
    silent: {
      given: PRICES,
      up: 'ALTER TABLE prices ALTER COLUMN amount TYPE bigint',
      because: 'the column is an integer now: every one is a bigint too',
    },
  },
};

function fits(from: string, to: string): boolean {
  const [a, b] = [typeIn(from), typeIn(to)];
  const unlimited = b.modifiers.length === 0;
  if (a.array || b.array) return a.array && b.array && a.name === b.name && unlimited;
  if (a.schema !== null || b.schema !== null)
    return b.schema === null && unlimited && (b.name === 'text' || b.name === 'varchar');
  return unlimited && (a.name === b.name || WIDER[a.name]?.includes(b.name) === true);
}

export const TYPE_CHANGE_RULES: readonly Rule[] = [
  typeChangeRewrites,
  typeChangeScans,
  timeZoneAssumed,
  typeChangeMayFail,
];
