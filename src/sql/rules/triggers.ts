import type { RelationFacts } from '../facts.ts';
import { alterCommands, droppedObjects, nameIn, objectType, textIn } from '../tree.ts';
import { counted, find, holdsRows, isLarge, listed, shown, sizeInWords, subject, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

/** Postgres's bits of a trigger's time and events. Source: src/include/catalog/pg_trigger.h. */
const BEFORE = 2;
const EVENTS: readonly [bit: number, name: string][] = [
  [4, 'INSERT'],
  [16, 'UPDATE'],
  [8, 'DELETE'],
  [32, 'TRUNCATE'],
];
/** Our dual-write triggers, which sort last by their names. */
const OURS = /^zz_switchback_/;

interface WrittenTrigger {
  name: string;
  before: boolean;
  row: boolean;
  events: string[];
  table: RelationFacts;
}
function writtenTrigger(context: RuleContext): WrittenTrigger | null {
  const { kind, node } = context.statement;
  const table = kind === 'CreateTrigStmt' ? subject(context) : undefined;
  if (table === undefined) return null;
  const bits = Number(node['events'] ?? 0);
  return {
    name: textIn(node['trigname']),
    before: Number(node['timing'] ?? 0) === BEFORE,
    row: node['row'] === true,
    events: EVENTS.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name),
    table,
  };
}

const TOUCH = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'";
const USERS = (rows: number): string =>
  `${TOUCH};\nCREATE TABLE users (id bigint, mail text);\nINSERT INTO users SELECT i, 'x' FROM generate_series(1, ${rows}) i;\nANALYZE users`;
const TOUCHED = `${USERS(5)};\nCREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()`;
const CREATE = 'CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()';

const onLargeTable: Rule = {
  code: 'trigger-on-large-table',
  severity: 'warning',
  title: 'Trigger on a large table',
  why: '`CREATE TRIGGER` takes a SHARE ROW EXCLUSIVE lock: it waits for all running writers, and new ones queue behind it, no longer than the lock ladder lets them. From then on the trigger is part of every write: a row trigger makes a bulk change of the table 8 to 15 % slower even when it does nothing.',
  safeForm:
    'Name the columns (`UPDATE OF a`) and say when (`WHEN (old.a IS DISTINCT FROM new.a)`), so that it doesn’t fire for the others. Columns that follow each other are the work of a `dual-write` step.',
  check(context) {
    const trigger = writtenTrigger(context);
    if (trigger === null || !isLarge(trigger.table)) return [];
    const each = trigger.row ? `${listed(trigger.events)} of a row` : `${listed(trigger.events)} statement`;
    return [
      {
        message: `writers of ${shown(trigger.table, context.schema)} (${sizeInWords(trigger.table)}) wait for as long as it can't be locked, and every ${each} then runs ${word(trigger.name)}`,
      },
    ];
  },
  examples: {
    fires: { given: USERS(20_000), up: CREATE },
    silent: { given: USERS(5), up: CREATE, because: 'the table has five rows' },
  },
};

const disabled: Rule = {
  code: 'trigger-disabled',
  severity: 'error',
  title: 'Trigger disabled while others write',
  why: 'What clients write while a trigger is off never gets what the trigger would have done: no history, no derived column, no event, and nothing makes up for it when it is on again. `DISABLE TRIGGER ALL` turns off foreign keys too, so that rows without their parent come in.',
  safeForm:
    'Leave it on. Where a bulk change must not fire it, give the trigger a `WHEN` over a column that the change sets; a `backfill` step needs no trigger off.',
  check(context) {
    const table = subject(context);
    if (table === undefined || !holdsRows(table)) return [];
    const name = shown(table, context.schema);
    return alterCommands(context.statement).flatMap((command): Hit[] => {
      if (command.subtype === 'AT_DisableTrigAll')
        return [{ message: `triggers and foreign keys of ${name} no longer see what clients write` }];
      const enabled = table.triggers.filter((one) => one.enabled).map((one) => one.name);
      const off =
        command.subtype === 'AT_DisableTrigUser'
          ? enabled
          : enabled.filter((one) => command.subtype === 'AT_DisableTrig' && one === command.name);
      return off.length === 0
        ? []
        : [
            {
              message: `${listed(off.map(word))} of ${name} no longer ${off.length === 1 ? 'sees' : 'see'} what clients write`,
            },
          ];
    });
  },
  examples: {
    fires: { given: TOUCHED, up: 'ALTER TABLE users DISABLE TRIGGER touched' },
    silent: {
      given: `${TOUCHED};\nALTER TABLE users DISABLE TRIGGER touched`,
      up: 'ALTER TABLE users DISABLE TRIGGER touched',
      because: 'the trigger is off already',
    },
  },
};

const SYNCED = `${USERS(5)};\nCREATE TRIGGER zz_switchback_0123456789 BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()`;
const sortsAfter: Rule = {
  code: 'trigger-sorts-after-dual-write',
  severity: 'error',
  title: 'BEFORE trigger that runs after a dual write',
  why: 'Triggers of one event run in the order of their names. A dual write’s trigger is named to run last, because it must see the row as the others leave it: what a later one changes is in one side of the pair only, and the two differ from then on.',
  safeForm: 'Give the trigger a name that sorts before `zz_switchback_`, or let it run AFTER the write.',
  check(context) {
    const { kind, node } = context.statement;
    const trigger = writtenTrigger(context);
    const renamed = kind === 'RenameStmt' && node['renameType'] === 'OBJECT_TRIGGER' ? subject(context) : undefined;
    const table = trigger === null ? renamed : trigger.before && trigger.row ? trigger.table : undefined;
    const ours = table?.triggers.find((one) => OURS.test(one.name));
    if (table === undefined || ours === undefined) return [];
    const name = trigger === null ? textIn(node['newname']) : trigger.name;
    const definition = table.triggers.find((one) => one.name === textIn(node['subname']))?.definition ?? '';
    if (name <= ours.name || (trigger === null && !/ BEFORE .* FOR EACH ROW /.test(definition))) return [];
    return [
      {
        message: `${word(name)} would run after the dual write ${word(ours.name)} of ${shown(table, context.schema)}, which wouldn't see what it changes`,
      },
    ];
  },
  examples: {
    fires: {
      given: SYNCED,
      up: 'CREATE TRIGGER "Ärger" BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()',
    },
    silent: { given: SYNCED, up: CREATE, because: 'its name sorts before that of the dual write’s trigger' },
  },
};

const dropped: Rule = {
  code: 'drop-trigger-under-writers',
  severity: 'warning',
  title: 'Trigger dropped while others write',
  why: '`DROP TRIGGER` takes the ACCESS EXCLUSIVE lock of the table for a moment, under the lock ladder. From its commit on writes no longer get what the trigger did: a history with a gap, a column that stands still.',
  safeForm:
    'Make sure that nothing relies on what it did, before it goes; rollback creates it again, but not what it missed.',
  check(context) {
    if (context.statement.kind !== 'DropStmt' || objectType(context.statement) !== 'OBJECT_TRIGGER') return [];
    return droppedObjects(context.statement).flatMap((texts): Hit[] => {
      const table = find(context.facts, nameIn(texts.slice(0, -1), context.schema));
      const trigger = table?.triggers.find((one) => one.name === texts.at(-1));
      if (table === undefined || trigger?.enabled !== true || !holdsRows(table)) return [];
      const severity = OURS.test(trigger.name) ? { severity: 'error' as const } : {};
      const whose = OURS.test(trigger.name) ? ', which keeps columns of a migration in step' : '';
      return [
        {
          ...severity,
          message: `writes of ${shown(table, context.schema)} no longer run ${word(trigger.name)}${whose}`,
        },
      ];
    });
  },
  examples: {
    fires: { given: TOUCHED, up: 'DROP TRIGGER touched ON users' },
    silent: {
      given: `${TOUCHED};\nALTER TABLE users DISABLE TRIGGER touched`,
      up: 'DROP TRIGGER touched ON users',
      because: 'the trigger is off: no write runs it',
    },
  },
};

const COMMANDS: Readonly<Record<string, string>> = {
  CMD_SELECT: 'SELECT',
  CMD_INSERT: 'INSERT',
  CMD_UPDATE: 'UPDATE',
  CMD_DELETE: 'DELETE',
};
const rewritesQueries: Rule = {
  code: 'rule-rewrites-queries',
  severity: 'error',
  title: 'CREATE RULE rewrites every client’s statements',
  why: 'A rule changes the statements of clients before they are planned: volatile functions run twice, row counts and RETURNING are another statement’s, and INSERT … ON CONFLICT and MERGE fail on such a table. COPY passes by it. A dual write and a backfill go through it too.',
  safeForm: 'A trigger does what is meant: it sees each row once, as it is written.',
  check(context) {
    const { kind, node } = context.statement;
    const table = kind === 'RuleStmt' ? subject(context) : undefined;
    if (table === undefined || table.fresh || table.kind === 'view' || !holdsRows(table)) return [];
    const event = COMMANDS[textIn(node['event'])] ?? 'statement';
    return [
      {
        message: `every ${event} on ${shown(table, context.schema)} becomes what rule ${word(textIn(node['rulename']))} says`,
      },
    ];
  },
  examples: {
    fires: { given: USERS(5), up: 'CREATE RULE keep AS ON DELETE TO users DO INSTEAD NOTHING' },
    silent: {
      given: 'CREATE TABLE users (id bigint)',
      up: 'CREATE RULE keep AS ON DELETE TO users DO INSTEAD NOTHING',
      because: 'the table never held a row',
    },
  },
};

const PARENTS = `${TOUCH};
CREATE TABLE events (id bigint, at date) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events VALUES (1, '2026-02-02')`;
const ON_PARENT = 'CREATE TRIGGER counted AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION touch()';
const onPartitioned: Rule = {
  code: 'trigger-on-partitioned-parent',
  severity: 'warning',
  title: 'Row trigger of a partitioned table reaches every partition',
  why: 'Postgres clones a row trigger to every partition, in one transaction that locks them all against writers, one after the other. A row that moves to another partition fires DELETE and INSERT triggers, not UPDATE.',
  safeForm:
    'Create the trigger on each partition by itself first, in a statement each; then the locks are short. Expect DELETE and INSERT where rows move.',
  check(context) {
    const trigger = writtenTrigger(context);
    if (trigger === null || !trigger.row || trigger.table.kind !== 'partitioned' || !holdsRows(trigger.table))
      return [];
    const partitions = trigger.table.partitions.length;
    return [
      {
        message: `it locks ${shown(trigger.table, context.schema)} and its ${counted(partitions, 'partition')} against writers, all in one transaction`,
      },
    ];
  },
  examples: {
    fires: { given: PARENTS, up: ON_PARENT },
    silent: {
      given: `${PARENTS};\nTRUNCATE events`,
      up: ON_PARENT,
      because: 'no partition holds a row',
    },
  },
};

export const TRIGGER_RULES: readonly Rule[] = [
  onLargeTable,
  onPartitioned,
  disabled,
  sortsAfter,
  dropped,
  rewritesQueries,
];
