import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { backfill } from '../../src/activities/backfill.ts';
import { ddl } from '../../src/activities/ddl.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { Effect } from '../../src/activities/effect.ts';
import { retire } from '../../src/activities/retire.ts';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import type { Direction, RunRef } from '../../src/messages/index.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type CrashKind, type CrashLine, crashLine, type SentStatement } from '../harness/crash-line.ts';
import { type DdlBench, ddlBench } from './bench.ts';

/**
 * A worker dies at each statement that it sends, one after the other, on the way up and on the way down; another one
 * goes on. Everything has taken effect once then, as in a run that nothing disturbed.
 */
const USERS = `CREATE SCHEMA app; SET search_path = app;
  CREATE TABLE users (id int PRIMARY KEY, email text, age int, full_name text NOT NULL);
  CREATE TABLE teams (id int PRIMARY KEY, name text);
  CREATE INDEX users_age ON users (age);
  INSERT INTO users SELECT i, 'u' || i, i, 'Ada Lovelace' FROM generate_series(1, 250) i`;
/** Whatever is committed leaves its command here: what is done twice shows, also where its second effect is none. */
const WITNESS = `CREATE SCHEMA witness; CREATE TABLE witness.seen (tag text);
  CREATE FUNCTION witness.see() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO witness.seen VALUES (tg_tag); END';
  CREATE TABLE witness.rows (id int);
  CREATE FUNCTION witness.row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO witness.rows VALUES (new.id); RETURN NULL; END';
  CREATE TRIGGER witness AFTER UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION witness.row();
  CREATE EVENT TRIGGER witness ON ddl_command_end EXECUTE FUNCTION witness.see()`;

let bench: DdlBench;
let line: CrashLine;
beforeAll(async () => {
  bench = await ddlBench(`${USERS}; ${WITNESS}`);
  line = await crashLine(bench.url, (pid) => bench.database.query('SELECT pg_terminate_backend($1::int, 5000)', [pid]));
});
afterAll(async () => {
  line.close();
  await bench.drop();
});

interface Scenario {
  /** The steps in order; they go down in reverse. Crashes come in the last one. */
  steps: readonly Step[];
  /** What is looked at besides the catalog. */
  rows?: string;
  /** What was cut off is begun again, such as the build of an index: then not every command is seen once. */
  again?: boolean;
  /** At all statements, also those between which nothing can have changed. */
  all?: boolean;
}
type Step = StepOf<'ddl' | 'dual-write' | 'backfill' | 'retire'>;
const EFFECTS = { ddl, 'dual-write': dualWrite, backfill, retire } as unknown as Record<string, Effect<Step['uses']>>;
const WAYS = ['up', 'down'] as const;

let runs = 0;
let generation = 1;
async function act(direction: Direction, step: Step, run: RunRef, databases = bench.databases): Promise<void> {
  const of = step.uses === 'backfill' ? SYNC : null;
  await EFFECTS[step.uses]?.[direction](bench.input(step, { direction, run, of }), bench.context({ databases }));
}

/** Where a worker dies: at its `at`-th statement, from 1. */
interface Death {
  at: number;
  kind: CrashKind;
}
/** A worker that lives up to its death; answers with the statements it sent. */
async function worker(
  direction: Direction,
  step: Step,
  run: RunRef,
  death: Death | null,
): Promise<readonly SentStatement[]> {
  const databases = new Databases({ app: { url: line.url } });
  line.arm(death?.at ?? Number.POSITIVE_INFINITY, death?.kind ?? 'lost');
  try {
    await act(direction, step, run, databases);
  } catch (error) {
    if (line.brokenAt === null) throw error;
  } finally {
    // What is dead sends nothing more: its line lets nothing through.
    await databases.close();
  }
  if (death !== null && line.brokenAt === null) throw new Error(`it sent no ${death.at} statements ${direction}`);
  return line.statements;
}

interface Outcome {
  catalog: unknown;
  rows: unknown;
  commands: unknown;
  record: unknown;
  invalid: unknown;
  building: unknown;
}
async function outcomeOf({ rows, again, steps }: Scenario, run: RunRef): Promise<Outcome> {
  const { database } = bench;
  const record = await new StepLedger(database).read({ run, step: steps.at(-1)?.id ?? '' });
  return {
    catalog: catalogJson(await catalogSnapshot(database)),
    rows: rows === undefined ? null : await database.query(rows),
    commands: again
      ? null
      : await database.query('SELECT tag, count(*) FROM witness.seen GROUP BY tag ORDER BY tag COLLATE "C"'),
    record: withoutNumbers(record),
    invalid: await database.query('SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid'),
    building: await database.query(
      `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
         AND pid <> pg_backend_pid() AND query ~ 'INDEX'`,
    ),
  };
}
/** Without what differs from run to run: numbers of objects. */
const withoutNumbers = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, of: unknown) => (key === 'identity' ? null : of)));

type Deaths = Partial<Record<Direction, Death>>;
interface Run {
  sent: Record<Direction, readonly SentStatement[]>;
  outcomes: Record<Direction, Outcome>;
}
/** Up and down once; where a worker dies, another one goes on: of the same generation, or of a newer one. */
async function upAndDown(scenario: Scenario, deaths: Deaths): Promise<Run> {
  // An epoch each: the names of what is made are the same.
  const run = bench.run({ epoch: ++runs, generation: ++generation });
  const ledger = new StepLedger(bench.database);
  await ledger.raiseFence(run);
  const before = scenario.steps.slice(0, -1);
  const last = scenario.steps.at(-1) as Step;
  const made = {} as Run['sent'];
  const outcomes = {} as Run['outcomes'];
  for (const step of before) await act('up', step, run);
  for (const way of WAYS) {
    await bench.database.query('TRUNCATE witness.seen, witness.rows');
    made[way] = await worker(way, last, run, deaths[way] ?? null);
    if (runs % 3 === 0) await ledger.raiseFence({ ...run, generation: (run.generation = ++generation) });
    if (deaths[way] !== undefined) await act(way, last, run);
    outcomes[way] = await outcomeOf(scenario, run);
  }
  for (const step of before.toReversed()) await act('down', step, run);
  return { sent: made, outcomes };
}

const READ = /^\s*(?:SELECT|WITH|SET|BEGIN)\b/;
/** What stays when the worker dies after it; what comes within a transaction goes with that. */
const stays = ({ text, inTransaction }: SentStatement): boolean =>
  inTransaction ? text === 'COMMIT' : !READ.test(text);

/**
 * The deaths that leave something different each: at what stays, in every way, and right before a commit. `all`: at
 * every statement.
 */
function deathsIn(sent: readonly SentStatement[], all: boolean): Death[] {
  const kinds = ['lost', 'running', 'ended'] as const;
  return sent.flatMap((statement, index) => {
    const at = index + 1;
    if (stays(statement)) return kinds.map((kind) => ({ at, kind }));
    return all || sent[at]?.text === 'COMMIT' ? [{ at, kind: 'lost' as const }] : [];
  });
}

/** Answers with how many deaths were survived. */
async function diesEverywhere(scenario: Scenario): Promise<number> {
  const before = catalogJson(await catalogSnapshot(bench.database));
  const calm = await upAndDown(scenario, {});
  const [ups, downs] = WAYS.map((way) => deathsIn(calm.sent[way], scenario.all === true)) as [Death[], Death[]];
  for (let turn = 0; turn < Math.max(ups.length, downs.length); turn++) {
    const deaths: Deaths = {};
    const [up, down] = [ups[turn], downs[turn]];
    if (up !== undefined) deaths.up = up;
    if (down !== undefined) deaths.down = down;
    const { sent, outcomes } = await upAndDown(scenario, deaths);
    for (const way of WAYS) {
      const of = deaths[way];
      const where = of === undefined ? '' : `${of.kind} at statement ${of.at} ${way}: ${sent[way].at(-1)?.text}`;
      expect(outcomes[way], where).toEqual(calm.outcomes[way]);
    }
    expect(catalogJson(await catalogSnapshot(bench.database))).toEqual(before);
  }
  console.log('deaths', ups.length, downs.length);
  return ups.length + downs.length;
}

const parse = (step: Record<string, unknown>): Step =>
  stepKinds[step['uses'] as Step['uses']].parse({ database: 'app', schema: 'app', ...step });
const ddlStep = (up: string, more: object = {}): Step => parse({ id: 'change', uses: 'ddl', up, ...more });
const SYNC = parse({
  id: 'sync',
  uses: 'dual-write',
  table: 'users',
  up: { first_name: "split_part(full_name, ' ', 1)" },
  down: { full_name: "first_name || ' Lovelace'" },
}) as StepOf<'dual-write'>;
const COLUMN = ddlStep('ALTER TABLE users ADD COLUMN first_name text', { id: 'column' });

describe('a worker that dies at any statement', () => {
  test('one change: between all of them, reads too', async () => {
    const step = ddlStep('CREATE INDEX ON teams (name)');
    expect(await diesEverywhere({ steps: [step], all: true })).toBeGreaterThan(30);
  });

  test('statements in transactions: unnamed things would be there twice', async () => {
    const step = ddlStep(`ALTER TABLE users ADD CHECK (age > 0) NOT VALID; ALTER TABLE users RENAME email TO mail`);
    expect(await diesEverywhere({ steps: [step] })).toBeGreaterThan(5);
  });

  test('a `down` of its own', async () => {
    const step = ddlStep('ALTER TABLE teams ALTER name TYPE varchar(50); ALTER TABLE teams ADD UNIQUE (name)', {
      down: 'ALTER TABLE teams DROP CONSTRAINT teams_name_key; ALTER TABLE teams ALTER name TYPE text',
    });
    expect(await diesEverywhere({ steps: [step] })).toBeGreaterThan(5);
  });

  test('CREATE INDEX CONCURRENTLY', async () => {
    const step = ddlStep('CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (lower(email))');
    expect(await diesEverywhere({ steps: [step], again: true })).toBeGreaterThan(5);
  });

  test('DROP INDEX CONCURRENTLY', async () => {
    expect(
      await diesEverywhere({ steps: [ddlStep('DROP INDEX CONCURRENTLY users_age')], again: true }),
    ).toBeGreaterThan(5);
  });

  test('dual write', async () => {
    expect(await diesEverywhere({ steps: [COLUMN, SYNC] })).toBeGreaterThan(5);
  });

  test('backfill in chunks: each row once', async () => {
    const fill = parse({ id: 'fill', uses: 'backfill', of: 'sync', chunk: { rows: 100, fixed: true } });
    const rows = 'SELECT count(*), count(DISTINCT id) FROM witness.rows';
    // Its procedure is made anew by whoever goes on.
    expect(await diesEverywhere({ steps: [COLUMN, SYNC, fill], rows, again: true })).toBeGreaterThan(5);
  });

  test('retire', async () => {
    const retired = parse({ id: 'retire', uses: 'retire', column: 'users.full_name' });
    expect(
      await diesEverywhere({ steps: [COLUMN, SYNC, retired], rows: 'SELECT * FROM app.users ORDER BY id' }),
    ).toBeGreaterThan(5);
  });
});
