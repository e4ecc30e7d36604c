import { readFileSync } from 'node:fs';
import type { Pool } from 'pg';
import { expect } from 'vitest';
import { parse } from 'yaml';
import type { CatalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { catalogDifference } from '../../src/adapters/postgres/catalog-difference.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { differenceWords } from '../../src/adapters/postgres/difference-words.ts';
import type { MigrationHandle } from '../../src/client/index.ts';
import type { GateStatus, Status } from '../../src/messages/index.ts';
import type { Engine } from '../harness/engine.ts';
import { freshDatabase } from '../harness/servers.ts';
import { snapshotOf } from '../harness/snapshot.ts';
import { fitted } from './fit.ts';
import type { Flags } from './flags.ts';
import type { Playbook } from './playbook.ts';
import { Traffic } from './traffic.ts';

export type Way = 'up' | 'back';
export const WAYS: readonly Way[] = ['up', 'back'];
/** How each run's database is called in the worker's configuration. */
export const databaseOf = ({ name }: Playbook, way: Way): string => `${name}-${way}`;

const APPROVER = 'ana@example.com';
const LOOK_EVERY_MS = 1_000;
/** Requests at the last moment before a run is taken back, and after its end: enough for all kinds of them. */
const LAST_REQUESTS = 20;

/** What all runs share, and what each has of its own. */
export interface Place {
  engine: Engine;
  flags: Flags;
  /** A service's pool to the home ledger. */
  ledger: Pool;
  /** The schema that the playbook promises. */
  documented: CatalogSnapshot;
  seed: number;
}

/** One run of a playbook beside all the others, with live traffic. Throws at whatever isn't as docs/playbooks.md says. */
export async function runPlaybook(
  playbook: Playbook,
  way: Way,
  { engine, flags, ledger, documented, seed }: Place,
): Promise<void> {
  const file = (name: string): string => readFileSync(`examples/${playbook.name}/${name}`, 'utf8');
  const url = engine.config.databases[databaseOf(playbook, way)]?.url ?? '';
  await execute(url, file('schema.sql'));
  const name = engine.name(databaseOf(playbook, way));
  const flagOf = (flag: string): string => `${flag}-${name}`;
  const plan = fitted(file('plan.yaml'), {
    name,
    database: () => databaseOf(playbook, way),
    flag: flagOf,
    keepRetention: way === 'back',
  });
  const [flag = ''] = Object.keys((parse(plan) as { spec: { flags?: object } }).spec.flags ?? {});
  const [before, flagBefore] = [await snapshotOf(url), await flags.state(flag)];
  const service = playbook.switched === true ? flags.switches(flag, ledger) : flags.serves(flag);
  const traffic = await Traffic.start({ playbook, url, seed, service });
  try {
    await checks(engine, plan, playbook);
    const handle = await engine.switchback.start(plan, { requestedBy: 'dev@example.com' });
    const { breach = null } = playbook;
    const trip = breach === null ? null : () => execute(url, breach);
    await follow({ handle, traffic, flag, flags, trip }, way);
    if (way === 'up') {
      const { outcome } = await handle.result();
      expect(outcome).toBe('completed');
    } else await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
    await execute(url, playbook.lately?.[way] ?? '');
    await traffic.untilMore(way === 'up' ? 'new' : 'old', LAST_REQUESTS);
    expect(comparisons(await handle.status())).toEqual([]);
  } finally {
    await traffic.stop();
  }
  expect(traffic.faults).toEqual([]);
  expect(await traffic.compare([way === 'up' ? 'new' : 'old'])).toEqual([]);
  expect(Math.min(traffic.requests.old, traffic.requests.new)).toBeGreaterThan(LAST_REQUESTS);
  const proof = playbook.proofs?.[way] ?? 'SELECT true AS proven';
  expect([proof, await execute(url, proof)]).toEqual([proof, [{ proven: 't' }]]);
  if (way === 'back') expect(await flags.state(flag)).toEqual(flagBefore);
  const wanted = way === 'back' ? before : documented;
  expect(differenceWords(catalogDifference(wanted, await snapshotOf(url)))).toEqual([]);
}

/** Nothing keeps the plan from running, and `check` warns of what the docs say. */
async function checks(engine: Engine, plan: string, { warnings }: Playbook): Promise<void> {
  const { problems, findings } = await engine.switchback.check(plan);
  expect(problems).toEqual([]);
  const warned = findings.filter(
    ({ severity, avoided, allowed }) => severity !== 'note' && !avoided && allowed === null,
  );
  expect([...new Set(warned.map(({ rule }) => rule))].toSorted()).toEqual([...warnings].toSorted());
}

interface Run {
  handle: MigrationHandle;
  traffic: Traffic;
  flag: string;
  flags: Flags;
  /** What is done to trip a guard of the rollout; null: the run is aborted at its last wait. */
  trip: (() => Promise<unknown>) | null;
}

/** Approves what is to be approved, once clients of both kinds agree on every row; takes the run back at its last wait, or by a guard. */
async function follow({ handle, traffic, flag, flags, trip }: Run, way: Way): Promise<void> {
  const decided = new Set<string>();
  for await (const status of handle.watch({ intervalMs: LOOK_EVERY_MS })) {
    if (process.env['PLAYBOOK_TRACE'])
      console.log(
        (performance.now() / 1000).toFixed(1),
        status.name,
        status.status,
        status.reason,
        JSON.stringify(traffic.requests),
        traffic.faults.at(0),
      );
    // Also a rollback that can't go on.
    if (status.waitingFor?.startsWith('retry') === true) {
      await handle.abort({ by: APPROVER });
      throw new Error(`it is held: ${status.reason}; ${JSON.stringify(status.error)}`);
    }
    const open = status.gates.find(({ state, decisionId }) => state === 'open' && !decided.has(decisionId));
    if (open !== undefined) {
      decided.add(open.decisionId);
      if (rolledOut(status)) await flags.untilAll(flag);
      expect(await traffic.compare(['old', 'new'])).toEqual([]);
      expect(await handle.approve({ by: APPROVER, gate: (open satisfies GateStatus).gate })).toMatchObject({
        accepted: true,
      });
    }
    if (way === 'up' || decided.has('back')) continue;
    if (trip === null ? waitsToEnd(status) : traffic.requests.new > LAST_REQUESTS) {
      decided.add('back');
      await traffic.untilMore('new', LAST_REQUESTS);
      if (trip === null) expect(await handle.abort({ by: APPROVER })).toMatchObject({ accepted: true });
      else await trip();
    }
  }
}

const stepsOf = ({ phases }: Status) => phases.flatMap(({ steps }) => steps);
const rolledOut = (status: Status): boolean =>
  stepsOf(status).some(({ uses, state }) => uses === 'rollout' && state === 'done');
/** The last step but for what can't be taken back: a drop that isn't due yet, or the soak at the end. */
function waitsToEnd(status: Status): boolean {
  if (status.reason.startsWith('may be dropped from')) return true;
  const last = stepsOf(status).at(-1);
  return last?.uses === 'wait' && last.state === 'waiting';
}
/** Notes of comparisons that did not compare every row and find them the same. */
const comparisons = (status: Status): (string | null)[] =>
  stepsOf(status).flatMap(({ uses, state, note }) =>
    uses === 'verify' && state === 'done' && !/^0 of [\d,]+ (rows|pairs) differ/.test(note ?? '') ? [note] : [],
  );

async function execute(url: string, sql: string): Promise<unknown> {
  const database = new Database('setup', { url });
  try {
    return await database.query(`SET search_path = public; ${sql}`);
  } finally {
    await database.close();
  }
}

/** The catalog that `after.sql` makes. To be called in `beforeAll`: a database made in a test goes with that. */
export async function documentedOf({ name }: Playbook): Promise<CatalogSnapshot> {
  const { url, drop } = await freshDatabase('after');
  try {
    await execute(url, readFileSync(`examples/${name}/after.sql`, 'utf8'));
    return await snapshotOf(url);
  } finally {
    await drop();
  }
}
