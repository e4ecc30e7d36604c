import pino from 'pino';
import { type CatalogSnapshot, catalogSnapshot } from '../../adapters/postgres/catalog.ts';
import { Database, type DatabaseUrls } from '../../adapters/postgres/database.ts';
import { upgradeLedger } from '../../adapters/postgres/ledger-schema.ts';
import { ObservedDatabase } from '../../adapters/postgres/observed-database.ts';
import { copySchema } from '../../adapters/postgres/schema-copy.ts';
import { StepLedger } from '../../adapters/postgres/step-ledger.ts';
import { type RunRef, SwitchbackError } from '../../messages/index.ts';
import type { Plan } from '../../plan/index.ts';
import { changesInWords } from './changes.ts';
import { type PlacedStep, type RehearsedEffect, Rehearsal, rehearsedSteps } from './rehearsal.ts';
import { type ScratchServer, withScratchServer } from './scratch-server.ts';

/** What a plan's changes of the schema did on copies of the databases: up and down, twice. */
export interface DryRun {
  /** Nothing failed, everything came back, and the second time was as the first. */
  ok: boolean;
  databases: DryRunDatabase[];
  /** Every step of the first round, in the order in which it ran, the way back included. */
  effects: RehearsedEffect[];
  /** What failed, or was otherwise the second time; empty where all was well. */
  problems: string[];
  /** Steps that change the schema and were not run, with why. */
  left: { step: string; why: string }[];
}
export interface DryRunDatabase {
  name: string;
  /** Major version of the original and of the copy's server. */
  original: string;
  copy: string;
  /** What of the original the copy doesn't have; the dry run says nothing of it. */
  missing: string[];
  /** What the plan changes, object by object. */
  changed: string[];
  /** What is not as before after the way back; empty is what is wanted. */
  notBack: string[];
}
const ROUNDS = 2;

/** Copies the schema of each database that the plan changes, and runs the plan's DDL there. The originals are only read. */
export async function dryRun(options: {
  plan: Plan;
  digest: string;
  urls: Readonly<Record<string, DatabaseUrls>>;
  say: (line: string) => void;
}): Promise<DryRun> {
  const { plan, urls, say } = options;
  const { steps } = rehearsedSteps(plan);
  const names = [...new Set(steps.map(({ step }) => step.database))].toSorted();
  const originals = new Map<string, Original>();
  for (const name of names) originals.set(name, await readOriginal(name, urls));
  if (names.length > 0) say('starting a Postgres for the copies');
  return names.length === 0
    ? { ok: true, databases: [], effects: [], problems: [], left: leftOut(plan) }
    : withScratchServer((server) => rehearse({ ...options, server, originals, steps }));
}

interface Original {
  snapshot: CatalogSnapshot;
  version: string;
}
const VERSION = "SELECT split_part(current_setting('server_version'), ' ', 1) AS version";

async function readOriginal(name: string, urls: Readonly<Record<string, DatabaseUrls>>): Promise<Original> {
  const of = urls[name];
  if (of === undefined) {
    throw new SwitchbackError('UnknownDatabase', `the plan names database "${name}", which the configuration doesn't`, {
      hint: `add it under \`databases:\`; there are: ${Object.keys(urls).join(', ') || 'none'}`,
      fields: { database: name },
    });
  }
  const database = new Database(name, of);
  try {
    return await database.session(async (session) => ({
      snapshot: await catalogSnapshot(session),
      version: (await session.query(VERSION))[0]?.['version'] ?? '',
    }));
  } finally {
    await database.close();
  }
}

interface Stage {
  plan: Plan;
  digest: string;
  server: ScratchServer;
  originals: ReadonlyMap<string, Original>;
  steps: readonly PlacedStep[];
  say: (line: string) => void;
}

async function rehearse(stage: Stage): Promise<DryRun> {
  const copies = new Map<string, ObservedDatabase>();
  try {
    const databases: DryRunDatabase[] = [];
    for (const [name, original] of stage.originals) {
      stage.say(`copying the schema of ${name}`);
      const copy = new ObservedDatabase(name, { url: await stage.server.createDatabase(name) });
      copies.set(name, copy);
      databases.push(await makeCopy(name, original, copy));
    }
    const rounds: Round[] = [];
    for (let number = 1; number <= ROUNDS; number++) rounds.push(await playRound(stage, copies, number));
    return summed(stage, databases, rounds);
  } finally {
    for (const copy of copies.values()) await copy.close();
  }
}

async function makeCopy(name: string, original: Original, copy: ObservedDatabase): Promise<DryRunDatabase> {
  const { missing } = await copy.session((session) => copySchema(original.snapshot, session));
  await upgradeLedger(copy, { home: true });
  const [server] = await copy.query(VERSION);
  return {
    name,
    original: original.version,
    copy: server?.['version'] ?? '',
    missing,
    changed: [],
    notBack: [],
  };
}

interface Round {
  effects: RehearsedEffect[];
  changed: Map<string, string[]>;
  notBack: Map<string, string[]>;
}

/** Up until something fails, then back down whatever was begun: as a run does it. */
async function playRound(
  { plan, digest, steps, say }: Stage,
  copies: ReadonlyMap<string, ObservedDatabase>,
  number: number,
): Promise<Round> {
  const { name, version } = plan.metadata;
  const up: RunRef = { migration: name, version, digest, epoch: number, generation: number * 2 - 1 };
  const down: RunRef = { ...up, generation: number * 2 };
  const log = pino({ level: 'silent' });
  const before = await snapshots(copies);
  const effects: RehearsedEffect[] = [];
  const begun: PlacedStep[] = [];
  await raiseFences(copies, up);
  const forward = new Rehearsal({ databases: copies, run: up, log, onNote: say });
  for (const step of steps) {
    say(`round ${number} of ${ROUNDS}: ${step.step.id}`);
    begun.unshift(step);
    const effect = await forward.perform(step, 'up');
    effects.push(effect);
    if (effect.error !== null) break;
  }
  const changed = await changesSince(before, copies);
  await raiseFences(copies, down);
  const back = new Rehearsal({ databases: copies, run: down, log, onNote: say });
  for (const step of begun) {
    say(`round ${number} of ${ROUNDS}: ${step.step.id}, back`);
    effects.push(await back.perform(step, 'down'));
  }
  return { effects, changed, notBack: await changesSince(before, copies) };
}

async function raiseFences(copies: ReadonlyMap<string, ObservedDatabase>, run: RunRef): Promise<void> {
  for (const copy of copies.values()) await new StepLedger(copy).raiseFence(run);
}

async function snapshots(copies: ReadonlyMap<string, ObservedDatabase>): Promise<Map<string, CatalogSnapshot>> {
  const taken = new Map<string, CatalogSnapshot>();
  for (const [name, copy] of copies) taken.set(name, await copy.session((session) => catalogSnapshot(session)));
  return taken;
}

async function changesSince(
  before: ReadonlyMap<string, CatalogSnapshot>,
  copies: ReadonlyMap<string, ObservedDatabase>,
): Promise<Map<string, string[]>> {
  const now = await snapshots(copies);
  return new Map(
    [...before].map(([name, snapshot]) => [name, changesInWords(snapshot, now.get(name) ?? new Map<string, never>())]),
  );
}

function summed({ plan }: Stage, databases: DryRunDatabase[], rounds: readonly Round[]): DryRun {
  const [first, ...again] = rounds as [Round, ...Round[]];
  const told = databases.map((database) => ({
    ...database,
    changed: first.changed.get(database.name) ?? [],
    notBack: first.notBack.get(database.name) ?? [],
  }));
  const problems = [
    ...first.effects.flatMap(({ step, direction, error }) =>
      error === null ? [] : [`${step}${direction === 'down' ? ', on the way back' : ''}: ${error.message}`],
    ),
    ...told.flatMap(({ name, notBack }) => notBack.map((words) => `${name} is not as before: ${words}`)),
    ...again.flatMap((round) => otherwise(first, round)),
  ];
  return { ok: problems.length === 0, databases: told, effects: first.effects, problems, left: leftOut(plan) };
}

/** The same plan on the same schema must do the same; where the first time failed, that has been told. */
function otherwise(first: Round, second: Round): string[] {
  const differing = (a: Map<string, string[]>, b: Map<string, string[]>): string[] =>
    [...a].flatMap(([name, words]) => (JSON.stringify(words) === JSON.stringify(b.get(name)) ? [] : [name]));
  return [
    ...differing(first.changed, second.changed).map((name) => `the second time the plan changed ${name} otherwise`),
    ...differing(first.notBack, second.notBack).map((name) => `the second time ${name} came back otherwise`),
  ];
}

/** What can't be rehearsed, by name: it changes the schema, and there is no way back from it; and what comes after that. */
function leftOut(plan: Plan): DryRun['left'] {
  const { afterDrop } = rehearsedSteps(plan);
  return plan.spec.phases.flatMap(({ steps }) =>
    steps.flatMap(({ id, uses }) => {
      if (uses === 'drop') return [{ step: id, why: 'a drop has no way back, and comes after its retention' }];
      if (uses === 'move' || uses === 'call') return [{ step: id, why: `a ${uses} step acts beyond the schema` }];
      return afterDrop.includes(id) ? [{ step: id, why: 'it comes after a drop, which is not run' }] : [];
    }),
  );
}
