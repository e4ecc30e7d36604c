import { type RowQuestion, SwitchbackError } from '../../messages/index.ts';
import { tableWithDatabase } from '../../plan/pii-label.ts';
import { auditText } from '../../report/audit-text.ts';
import { cloudEventsOf } from '../../report/cloud-events.ts';
import { openLineageEvents } from '../../report/openlineage.ts';
import { isKeyHash } from '../../adapters/postgres/key-hash.ts';
import { auditOf, keysOfHash } from '../audit-ledgers.ts';
import type { CommandMaker, Invocation } from '../cli.ts';
import { EXIT } from '../exit-code.ts';
import { packageVersion } from '../package-version.ts';
import { writeFile } from '../write-file.ts';

interface Options {
  row?: string[];
  key?: string[];
  find?: string[];
  openlineage?: boolean;
  cloudevents?: boolean;
  output?: string;
}

export const audit: CommandMaker = (cli) =>
  cli.command<Options>(
    'audit <name>',
    'who changed what: decisions and altered ranges of a migration, or all that is known of one row',
    async (invocation) => {
      const [name = ''] = invocation.args;
      const { options } = invocation;
      refuseMixtures(options);
      if (options.find !== undefined) return find(invocation, name, options.find);
      const row = rowOf(options);
      const found = await auditOf(invocation, { name, ...(row !== null && { row }) });
      if (options.openlineage === true)
        return exportLines(invocation, openLineageEvents(found, { version: packageVersion() }));
      if (options.cloudevents === true) return exportLines(invocation, cloudEventsOf(found));
      invocation.print(found, () => auditText(found));
      return EXIT.done;
    },
    (command) =>
      command
        .option('--row <table_and_key...>', 'TABLE KEY: which migrations changed that row, and how')
        .option('--key <text...>', 'the KEY of --row, for one that begins with a dash: --key=-5')
        .option('--find <hash_and_table...>', 'HASH TABLE: the keys that are shown as this hash')
        .option('--openlineage', 'OpenLineage events, one JSON a line')
        .option('--cloudevents', 'the decisions as CloudEvents, one JSON a line')
        .option('--output <file>', 'write the events to a file'),
  );

const usage = (message: string, hint: string): SwitchbackError =>
  new SwitchbackError('UsageInvalid', message, { hint });

function refuseMixtures({ row, key, find: hash, openlineage, cloudevents, output }: Options): void {
  const asked = [row, hash, openlineage, cloudevents].filter((one) => one !== undefined).length;
  if (asked > 1)
    throw usage('--row, --find, --openlineage and --cloudevents ask for different things', 'give one of them');
  if (output !== undefined && openlineage !== true && cloudevents !== true)
    throw usage('--output needs events to write', 'add --openlineage or --cloudevents');
  if (key !== undefined && row === undefined) throw usage('--key needs --row', 'give --row TABLE as well');
}

function tableOf(text: string): Omit<RowQuestion, 'key'> {
  const table = tableWithDatabase(text);
  if (table !== null) return table;
  throw usage(`"${text}" is no table`, 'TABLE is table, schema.table or database/schema.table');
}

function rowOf({ row, key = [] }: Options): RowQuestion | null {
  if (row === undefined) return null;
  const [table = '', ...keys] = row;
  const given = [...keys, ...key];
  if (given.length === 0) throw usage('--row needs a key', 'give --row TABLE KEY, one KEY for each column of the key');
  return { ...tableOf(table), key: given };
}

async function find(invocation: Invocation<Options>, name: string, given: readonly string[]): Promise<number> {
  const [hash = '', table = ''] = given;
  if (given.length !== 2 || !isKeyHash(hash)) {
    throw usage('--find needs a hash and a table', "give --find '#0a1b2c3d4e' TABLE, with the hash in quotes");
  }
  const found = await keysOfHash(invocation, name, hash, tableOf(table));
  const keys = found.flatMap((one) => one.keys.map((key) => ({ one, key })));
  invocation.print(found, () =>
    keys
      .map(
        ({ one, key }) => `${one.database}/${one.schema}.${one.table}  ${one.columns.join(', ')} = ${key.join(', ')}`,
      )
      .join('\n'),
  );
  if (keys.length > 0) return EXIT.done;
  if (invocation.globals.json !== true)
    invocation.terminal.err(`no row of ${table} has a key that migration "${name}" shows as ${hash}`);
  return EXIT.input;
}

function exportLines({ options, terminal, print }: Invocation<Options>, events: readonly object[]): number {
  const lines = events.map((event) => JSON.stringify(event));
  if (options.output === undefined) {
    for (const line of lines) terminal.out(line);
    return EXIT.done;
  }
  writeFile(terminal.cwd, options.output, lines.map((line) => `${line}\n`).join(''), '--output');
  print({ file: options.output, events: lines.length }, () => `wrote ${lines.length} events to ${options.output}`);
  return EXIT.done;
}
