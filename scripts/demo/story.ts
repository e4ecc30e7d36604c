import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run as runCommandLine } from '../../src/cli/program.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { type MigrationHandle, Switchback } from '../../src/client/index.ts';
import type { DevFile } from '../../src/dev/dev-file.ts';
import type { GateStatus, Status } from '../../src/messages/index.ts';
import type { DemoOptions } from './options.ts';
import { CONFIG_FILE, devFileOf, openPlace, type Place, PLAN_FILE } from './place.ts';
import type { Proof } from './proofs.ts';
import { rolloutLines, rolloutRecord } from './rollout-record.ts';
import type { DemoScreen } from './screen.ts';
import { Shop } from './shop.ts';
import { proveCompleted, proveRolledBack } from './verdict.ts';

const MIGRATION = 'split-full-name';
/** Whoever starts it may not approve it: so says the plan's policy. */
const REQUESTER = 'deploy@example.com';
const APPROVER = 'ana@example.com';
/** How long the traffic runs to open its connections, to be measured (a p99 of 800 requests), and after the migration. */
const WARM_UP_MS = 3_000;
const BEFORE_MS = 8_000;
const AFTER_MS = 2_000;

/** Tells the whole story, and says whether everything was proven. Rejects where it couldn't be told to its end. */
export async function runDemo(
  options: DemoOptions,
  terminal: Terminal,
  screen: DemoScreen,
  signal: AbortSignal,
): Promise<boolean> {
  screen.heading('Switchback: split full_name into given_name and family_name, in three services, under traffic');
  let place: Place | undefined;
  let shop: Shop | undefined;
  try {
    place = await openPlace(options.dir, (line) => screen.say(line), signal);
    screen.say(`servers are up; filling three databases with ${options.users.toLocaleString('en-US')} users each…`);
    shop = await Shop.open(place.dev, options);
    const proven = await Promise.race([migrate(shop, place.dev, options, terminal, screen, signal), failure(place)]);
    if (options.keep) await stayUp(place, screen, signal);
    return proven;
  } finally {
    await shop?.close();
    await place?.stop();
  }
}

/** Rejects when a server has ended by itself; never resolves. */
async function failure(place: Place): Promise<never> {
  await place.ended;
  return new Promise<never>(() => undefined);
}

async function migrate(
  shop: Shop,
  dev: DevFile,
  options: DemoOptions,
  terminal: Terminal,
  screen: DemoScreen,
  signal: AbortSignal,
): Promise<boolean> {
  const before = await shop.look();
  screen.say('accounts, billing and search answer 100 requests a second; measuring them before the migration…');
  shop.traffic.start();
  await delay(WARM_UP_MS, undefined, { signal });
  shop.traffic.part = 'before';
  await delay(BEFORE_MS, undefined, { signal });

  await using switchback = await Switchback.connect({
    ...(dev.pids.temporal !== null && { address: dev.temporal.address, ignoreEnvironment: true }),
    ui: dev.temporal.ui ?? undefined,
  });
  shop.traffic.part = 'during';
  const migration = await switchback.start(readFileSync(PLAN_FILE, 'utf8'), { requestedBy: REQUESTER });
  // It finds the demo's server wherever it is called, also beside a `switchback dev` with another one.
  const program = `${terminal.program} --address ${dev.temporal.address}`;
  await introduce(migration, dev, program, options, screen);
  const status = await follow(migration, shop, program, options.yes || !screen.interactive, screen, signal);
  shop.traffic.part = 'after';
  await delay(AFTER_MS, undefined, { signal });
  await shop.traffic.stop();

  const record = rolloutRecord(await switchback.audit(MIGRATION), status);
  const proofs = options.breaks
    ? await proveRolledBack(shop, status, before, record)
    : await proveCompleted(shop, status);
  const report = await writeReport(options.dir, terminal);
  screen.heading('What the engine has on record of the rollout');
  for (const line of rolloutLines(record)) screen.line(`  ${line}`);
  conclude(proofs, shop, report, screen);
  return proofs.every(({ holds }) => holds);
}

async function introduce(
  migration: MigrationHandle,
  dev: DevFile,
  program: string,
  options: DemoOptions,
  screen: DemoScreen,
): Promise<void> {
  const { temporal } = await migration.links();
  screen.heading(options.breaks ? 'The migration starts; its new read path has a bug' : 'The migration starts');
  screen.line(`  plan         ${PLAN_FILE}`);
  screen.line(`  Temporal UI  ${temporal ?? dev.temporal.ui ?? 'none: this server has no UI'}`);
  if (dev.unleash !== null) screen.line(`  Unleash      ${dev.unleash.url}`);
  screen.line(`  watch it     ${program} watch ${MIGRATION}`);
  screen.line('');
}

/** Shows the migration until its end. Where nobody is asked, approves as a person who didn't start it. */
async function follow(
  migration: MigrationHandle,
  shop: Shop,
  program: string,
  byItself: boolean,
  screen: DemoScreen,
  signal: AbortSignal,
): Promise<Status> {
  let last: Status | null = null;
  const foot = (): string => {
    const open = last?.gates.find(({ state }) => state === 'open');
    if (open !== undefined && !byItself) return approvalLine(open, program);
    const { traffic, latencies } = shop;
    const p99 = latencies.percentile('during', 99)?.toFixed(0) ?? '–';
    return `traffic: ${traffic.requests.toLocaleString('en-US')} requests, ${traffic.failedTotal} failed, p99 ${p99} ms. Ctrl-C stops the demo.`;
  };
  using view = screen.follow(program, foot);
  const decided = new Set<string>();
  for await (const status of migration.watch({ signal })) {
    last = status;
    view.show(status);
    if (!byItself) continue;
    for (const gate of status.gates.filter(({ state, decisionId }) => state === 'open' && !decided.has(decisionId))) {
      decided.add(gate.decisionId);
      await migration.approve({ gate: gate.gate, by: APPROVER, comment: 'the demo approves by itself' });
    }
    if (status.status === 'held') throw new Error(`the migration is held: ${status.reason}`);
  }
  signal.throwIfAborted();
  if (last === null) throw new Error('the migration said nothing');
  return last;
}

const approvalLine = (gate: GateStatus, program: string): string =>
  `Your turn, as ${APPROVER} (${gate.roles.join(', ')}): ${program} approve ${MIGRATION} --as ${APPROVER}, or send the signal in Temporal UI.`;

/** The same report that `switchback report` prints, with the demo's own servers. */
async function writeReport(dir: string, terminal: Terminal): Promise<string> {
  const lines: string[] = [];
  const code = await runCommandLine(['report', MIGRATION, '--config', CONFIG_FILE], {
    ...terminal,
    out: (text) => void lines.push(text),
    screen: null,
    color: false,
    cwd: dir,
  });
  if (code !== 0) throw new Error('the report could not be written');
  const file = join(dir, 'report.md');
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

function conclude(proofs: readonly Proof[], shop: Shop, report: string, screen: DemoScreen): void {
  const { paint } = screen;
  const ms = (part: string): string => `${shop.latencies.percentile(part, 99)?.toFixed(1) ?? '–'} ms`;
  screen.heading('What was proven, by looking and not by asking the engine');
  for (const { claim, holds, found } of proofs) {
    screen.line(`  ${holds ? paint('good', '✓') : paint('bad', '✗')} ${claim}: ${found}`);
  }
  screen.line('');
  screen.line(`  p99 of all requests: ${ms('before')} before the migration, ${ms('during')} during it`);
  screen.line(`  report: ${relative(process.cwd(), report)}`);
  const failed = proofs.filter(({ holds }) => !holds).length;
  screen.line(
    failed === 0
      ? `  all of it proven, ${screen.seconds()} s after the start`
      : `  ${failed} of ${proofs.length} NOT proven`,
  );
}

async function stayUp({ dir, dev, ended }: Place, screen: DemoScreen, signal: AbortSignal): Promise<void> {
  screen.heading('Everything stays up until Ctrl-C');
  screen.line(`  Temporal UI  ${dev.temporal.ui ?? dev.temporal.address}`);
  if (dev.unleash !== null) screen.line(`  Unleash      ${dev.unleash.url} (user admin, password unleash4all)`);
  screen.line(`  databases    ${Object.keys(dev.databases).join(', ')}; their URLs are in ${devFileOf(dir)}`);
  const told = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([told, ended]);
}
