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
  CREATE TABLE large (n int); INSERT INTO large SELECT generate_series(1, 500); ANALYZE large;
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
  /** Steps that come before; they go down in reverse. */
  before?: readonly Step[];
  /** They are done anew for each death, because the step leaves something of its own in what they made. */
  anew?: boolean;
  /** The step in which workers die. */
  step: Step;
  /** What is looked at besides the catalog. */
  rows?: string;
  /** What was cut off is begun again, such as the build of an index: then not every command is seen once. */
  again?: boolean;
  /** Also at statements between which nothing can have changed. */
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

/** Where a worker dies. */
interface Death {
  /** A statement's text, and which of those with that text, from 1: others come in between or don't, as it happens. */
  text: string;
  number: number;
  kind: CrashKind;
}
/** A worker that lives up to its death; answers with the statements it sent. */
async function worker(
  direction: Direction,
  step: Step,
  run: RunRef,
  death: Death | undefined,
): Promise<readonly SentStatement[]> {
  const databases = new Databases({ app: { url: line.url } });
  let seen = 0;
  line.armAt((text) => text === death?.text && ++seen === death.number, death?.kind ?? 'lost');
  try {
    await act(direction, step, run, databases);
  } catch (error) {
    if (line.brokenAt === null) throw error;
  } finally {
    // What is dead sends nothing more: its line lets nothing through.
    await databases.close();
  }
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
async function outcomeOf({ rows, again, step }: Scenario, run: RunRef): Promise<Outcome> {
  const { database } = bench;
  const record = await new StepLedger(database).read({ run, step: step.id });
  return {
    catalog: await catalog(),
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
/** Without what differs from run to run: numbers of objects, and which way the rescue of values took. */
const VARIES = ['identity', 'hidden', 'swept', 'cursor'];
const withoutNumbers = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, of: unknown) => (VARIES.includes(key) ? null : of)));

type Deaths = Partial<Record<Direction, Death>>;
interface Run {
  sent: Record<Direction, readonly SentStatement[]>;
  outcomes: Record<Direction, Outcome>;
  died: number;
}
/** A run of its own: an epoch, so that the names of what is made are the same each time. */
async function newRun(): Promise<RunRef> {
  const run = bench.run({ epoch: ++runs, generation: ++generation });
  await new StepLedger(bench.database).raiseFence(run);
  return run;
}

/** Up and down once; where a worker dies, another one goes on: of the same generation, or of a newer one. */
async function upAndDown(scenario: Scenario, deaths: Deaths, run: RunRef): Promise<Run> {
  const { step } = scenario;
  const sent = {} as Run['sent'];
  const outcomes = {} as Run['outcomes'];
  let died = 0;
  for (const way of WAYS) {
    await bench.database.query('TRUNCATE witness.seen, witness.rows');
    sent[way] = await worker(way, step, run, deaths[way]);
    if (line.brokenAt !== null) died += 1;
    if (runs % 3 === 0)
      await new StepLedger(bench.database).raiseFence({ ...run, generation: (run.generation = ++generation) });
    if (deaths[way] !== undefined) await act(way, step, run);
    outcomes[way] = await outcomeOf(scenario, run);
  }
  return { sent, outcomes, died };
}

const READ = /^\s*(?:SELECT|WITH|SET|BEGIN)\b/;
/** What stays when the worker dies after it; what comes within a transaction goes with that. */
const stays = ({ text, inTransaction }: SentStatement): boolean =>
  inTransaction ? text === 'COMMIT' : !READ.test(text);

const KINDS = ['lost', 'ended', 'running'] as const satisfies CrashKind[];

/**
 * The deaths that leave something different each: at each commit, one kind after the other, and in every way at what
 * stays by itself. What comes within a transaction leaves what the commit before it left. `all`: there too, and at a
 * commit in every way.
 */
function deathsIn(sent: readonly SentStatement[], all: boolean): Death[] {
  const counts = new Map<string, number>();
  return sent.flatMap((statement): Death[] => {
    const { text, inTransaction } = statement;
    const number = 1 + (counts.get(text) ?? 0);
    counts.set(text, number);
    if (stays(statement)) {
      const kinds = all || text !== 'COMMIT' ? KINDS : KINDS.slice(number % KINDS.length, (number % KINDS.length) + 1);
      return kinds.map((kind) => ({ text, number, kind }));
    }
    return all && inTransaction ? [{ text, number, kind: 'lost' }] : [];
  });
}

/** Does what comes before a scenario's step, then `work`, and undoes it. */
async function after<T>({ before = [] }: Scenario, work: (run: RunRef) => Promise<T>): Promise<T> {
  const run = await newRun();
  for (const step of before) await act('up', step, run);
  const result = await work(run);
  run.generation = generation;
  for (const step of before.toReversed()) await act('down', step, run);
  return result;
}

/** Answers with how many deaths were survived. */
async function diesEverywhere(scenario: Scenario): Promise<number> {
  const { anew = false, all = false } = scenario;
  const once = async (deaths: Deaths): Promise<Run> =>
    anew ? after(scenario, (run) => upAndDown(scenario, deaths, run)) : upAndDown(scenario, deaths, await newRun());
  const everywhere = async (): Promise<number> => {
    const before = await catalog();
    const calm = await once({});
    const [ups, downs] = WAYS.map((way) => deathsIn(calm.sent[way], all)) as [Death[], Death[]];
    let survived = 0;
    for (let turn = 0; turn < Math.max(ups.length, downs.length); turn++) {
      const [up, down] = [ups[turn], downs[turn]];
      const deaths: Deaths = { ...(up && { up }), ...(down && { down }) };
      const { outcomes, died } = await once(deaths);
      survived += died;
      for (const way of WAYS) expect(outcomes[way], JSON.stringify(deaths)).toEqual(calm.outcomes[way]);
      expect(await catalog(), JSON.stringify(deaths)).toEqual(before);
    }
    return survived;
  };
  return anew ? everywhere() : after(scenario, everywhere);
}
const catalog = async (): Promise<unknown> => catalogJson(await catalogSnapshot(bench.database));

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
  test('must pass 12. between DDL’s commit and its recording, at statements in transactions: unnamed things would be there twice', async () => {
    const step = ddlStep('ALTER TABLE users ADD CHECK (age > 0) NOT VALID; CREATE INDEX ON teams (name)');
    expect(await diesEverywhere({ step })).toBeGreaterThan(5);
  });

  test('a `down` of its own', async () => {
    const step = ddlStep('ALTER TABLE teams ALTER name TYPE varchar(50)', {
      down: 'ALTER TABLE teams ALTER name TYPE text',
    });
    expect(await diesEverywhere({ step })).toBeGreaterThan(5);
  });

  test('a safe form: an index that is built concurrently becomes a constraint', async () => {
    const step = ddlStep('ALTER TABLE large ADD CONSTRAINT one_n UNIQUE (n)');
    expect(await diesEverywhere({ step, again: true })).toBeGreaterThan(5);
  });

  test('a safe form in chunks: each row has one value', async () => {
    const step = ddlStep('ALTER TABLE large ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()');
    const rows = `SELECT count(*), count(DISTINCT to_jsonb(l)->'token') FROM app.large l`;
    // Whether the rescue of the values hides the column first is not the same each time.
    expect(await diesEverywhere({ step, rows, again: true })).toBeGreaterThan(5);
  });

  test('CREATE INDEX CONCURRENTLY', async () => {
    const step = ddlStep('CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (lower(email))');
    expect(await diesEverywhere({ step, again: true })).toBeGreaterThan(5);
  });

  test('DROP INDEX CONCURRENTLY', async () => {
    expect(await diesEverywhere({ step: ddlStep('DROP INDEX CONCURRENTLY users_age'), again: true })).toBeGreaterThan(
      5,
    );
  });

  test('dual write: at all statements of a transaction, reads too', async () => {
    expect(await diesEverywhere({ before: [COLUMN], step: SYNC, all: true })).toBeGreaterThan(20);
  });

  test('must pass 12. after a chunk’s commit, before the answer: each row once', async () => {
    const fill = parse({ id: 'fill', uses: 'backfill', of: 'sync', chunk: { rows: 100, fixed: true } });
    const rows = 'SELECT count(*), count(DISTINCT id) FROM witness.rows';
    // Its procedure is made anew by whoever goes on.
    expect(await diesEverywhere({ before: [COLUMN, SYNC], anew: true, step: fill, rows, again: true })).toBeGreaterThan(
      5,
    );
  });

  test('retire', async () => {
    const retired = parse({ id: 'retire', uses: 'retire', column: 'users.full_name' });
    const rows = 'SELECT * FROM app.users ORDER BY id';
    expect(await diesEverywhere({ before: [COLUMN, SYNC], step: retired, rows })).toBeGreaterThan(1);
  });
});
