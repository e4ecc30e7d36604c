import { expect, onTestFinished, test } from 'vitest';
import type { WebhookConfig } from '../../src/adapters/notify/webhook.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { NotificationEvent } from '../../src/messages/index.ts';
import { startWorker } from '../../src/worker/worker.ts';
import pino from 'pino';
import { crashLine } from '../harness/crash-line.ts';
import { type Engine, planOf, startEngine } from '../harness/engine.ts';
import { startWorkerProcess } from '../harness/worker-process.ts';
import { ok, type Receiver, startReceiver, status } from './receiver.ts';

const requestedBy = 'bo@example.com';
const hook = (name: string, to: Receiver, events: NotificationEvent[]): WebhookConfig => ({
  ...{ name, webhook: to.url, events, secrets: [], services: null },
});
const rest = { id: 'rest', uses: 'wait', for: '1ms' } as const;
const short = (name: string) => planOf(name, [{ name: 'one', steps: [rest] }]);
const completed = (one: { data: { event: string } }) => one.data.event === 'completed';

function homeOf({ config }: Engine): Database {
  const home = new Database('home', { url: config.databases['home']?.url ?? '' });
  onTestFinished(() => home.close());
  return home;
}
const rows = (home: Database) =>
  home.query('SELECT webhook, event, state, attempts, refusals, last_error FROM switchback.notifications ORDER BY id');
/** What the home ledger says of the outbox, once it is as wanted. */
const untilRows = (home: Database, wanted: object) =>
  expect.poll(() => rows(home), { timeout: 45_000, interval: 100 }).toMatchObject(wanted);
async function run(engine: Engine, base: string): Promise<string> {
  const name = engine.name(base);
  const handle = await engine.switchback.start(short(name), { requestedBy });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  return name;
}

test('receivers that hang, are away or say no delay no run, and are told later', async () => {
  const [hanging, away, busy, strict, retired, moved] = [
    await startReceiver('/hanging'),
    await startReceiver('/away'),
    await startReceiver('/busy'),
    await startReceiver('/strict'),
    await startReceiver('/retired'),
    await startReceiver('/moved'),
  ];
  // It answers when the test lets it.
  const held: (() => void)[] = [];
  hanging.answer = (response) => void held.push(() => ok(response, hanging.received[0]!));
  await away.down();
  busy.answer = status(429, { 'retry-after': '2' });
  strict.answer = status(401);
  retired.answer = status(410);
  moved.answer = status(302, { location: away.url });
  const all = { hanging, away, busy, strict, retired, moved };
  const engine = await startEngine({
    notifications: Object.entries(all).map(([name, to]) => hook(name, to, ['completed'])),
  });
  const home = homeOf(engine);
  const name = await run(engine, 'hang');
  await hanging.event(completed);
  // The run has ended, and nobody was told but those who said no.
  expect((await rows(home)).filter((row) => row['state'] === 'delivered')).toEqual([]);

  await untilRows(home, [
    {},
    { webhook: 'away', state: 'pending', last_error: 'ECONNREFUSED' },
    { webhook: 'busy', state: 'pending', last_error: 'it answers 429', refusals: '0' },
    { webhook: 'strict', state: 'pending', last_error: 'it answers 401' },
    { webhook: 'retired', state: 'given-up', attempts: '1' },
    { webhook: 'moved', state: 'pending', last_error: 'it answers 302; redirects are not followed' },
  ]);
  hanging.answer = ok;
  for (const release of held) release();
  await away.up();
  for (const one of [busy, moved]) one.answer = ok;
  // As if it had said no for half an hour.
  await home.query("UPDATE switchback.notifications SET refusals = 11 WHERE webhook = 'strict'");
  await untilRows(home, [
    { state: 'delivered' },
    { state: 'delivered', refusals: '0' },
    { state: 'delivered', last_error: null },
    { state: 'given-up', last_error: expect.stringMatching(/^it answers 401, 1\d times$/) },
    { state: 'given-up', last_error: 'it answers 410: the receiver wants nothing more' },
    { state: 'delivered' },
  ]);
  for (const one of [hanging, away, busy, moved])
    expect(new Set(one.received.map(({ event }) => event.id)).size).toBe(1);
  // The second attempt came after the time that the receiver had asked for.
  const [first, second] = busy.received.map(({ headers }) => Number(headers['webhook-timestamp']));
  expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(2);

  // What was given up is where people look: in the audit, and as a failed run.
  const { decisions } = await engine.switchback.audit(name);
  expect(decisions.filter(({ type }) => type === 'notification-given-up').map(({ data }) => data)).toEqual(
    expect.arrayContaining([
      {
        webhook: 'retired',
        event: 'completed',
        attempts: 1,
        reason: 'it answers 410: the receiver wants nothing more',
      },
    ]),
  );
  const failed = engine.client.workflow.getHandle(`notification/${retired.received[0]?.event.id}/retired`);
  expect(await failed.describe()).toMatchObject({ status: { name: 'FAILED' } });
});

test('events for a receiver that hangs: four at a time; one that is cancelled is given up', async () => {
  const ops = await startReceiver();
  const held: (() => void)[] = [];
  const arrivals: number[] = [];
  let most = 0;
  const hang = (response: Parameters<typeof ok>[0], received: Parameters<typeof ok>[1]): void => {
    held.push(() => ok(response, received));
    arrivals.push(Date.now());
    // An attempt lasts 10 s: those that came in half of that are under way together.
    most = Math.max(most, arrivals.filter((at) => at > Date.now() - 5_000).length);
  };
  ops.answer = hang;
  const engine = await startEngine({ notifications: [hook('ops', ops, ['started', 'completed'])] });
  const home = homeOf(engine);
  await Promise.all(Array.from({ length: 5 }, (_, index) => run(engine, `flood-${index}`)));
  // All of their workflows are under way, and the receiver has not answered one.
  const begun =
    "SELECT count(*) AS begun FROM switchback.notifications WHERE started_at IS NOT NULL AND state = 'pending'";
  await expect.poll(() => home.query(begun), { timeout: 45_000 }).toEqual([{ begun: '10' }]);
  await expect.poll(() => most, { timeout: 45_000 }).toBe(4);

  const last = `notification/${engine.name('flood-0')}/1/1/started/ops`;
  await engine.client.workflow.getHandle(last).cancel();
  await untilRows(
    home,
    expect.arrayContaining([
      expect.objectContaining({ state: 'given-up', last_error: 'cancelled in Temporal' }),
    ]) as object,
  );
  ops.answer = ok;
  for (const release of held.splice(0)) release();
  await untilRows(home, expect.not.arrayContaining([expect.objectContaining({ state: 'pending' })]) as object);
  expect(most).toBe(4);
  const states = (await rows(home)).map((row) => row['state']);
  expect(states.filter((state) => state === 'delivered')).toHaveLength(9);
});

test('a worker killed after the commit of an event: it is told once one is back', async () => {
  const ops = await startReceiver();
  const engine = await startEngine({ notifications: [hook('ops', ops, ['approval-needed'])] });
  const home = homeOf(engine);
  await engine.stopWorker();
  const direct = engine.config.databases['home']?.url ?? '';
  const line = await crashLine(direct, (pid) => home.query('SELECT pg_terminate_backend($1)', [pid]));
  onTestFinished(() => line.close());
  const databases = { ...engine.config.databases, home: { url: line.url, replicas: [] } };
  const doomed = await startWorkerProcess({ ...engine.config, databases });
  line.armAt((text) => text.includes('INSERT INTO switchback.notifications'), 'lost');
  const name = engine.name('killed');
  const plan = planOf(name, [{ name: 'one', approval: 'before', steps: [rest] }]);
  await engine.switchback.start(plan, { requestedBy });
  await untilRows(home, [{ state: 'pending', attempts: '0' }]);
  doomed.process.kill('SIGKILL');
  // The event is on record, and nobody has begun to tell it.
  expect(await home.query('SELECT started_at FROM switchback.notifications')).toEqual([{ started_at: null }]);

  await engine.restartWorker();
  const event = await ops.event((one) => one.data.event === 'approval-needed');
  await untilRows(home, [{ state: 'delivered', attempts: '1' }]);
  expect(ops.received.map(({ event: { id } }) => id)).toEqual([event.id]);
  await engine.client.workflow.getHandle(`migration/${name}`).terminate('enough is seen');
});

test('two workers tell each event once; a run of theirs that was terminated begins again', async () => {
  const ops = await startReceiver();
  const engine = await startEngine({ notifications: [hook('ops', ops, ['started', 'completed'])] });
  const home = homeOf(engine);
  const other = await startWorker(engine.config, pino({ level: 'silent' }));
  onTestFinished(async () => {
    other.stop();
    await other.ended;
  });
  const runs = 6;
  await Promise.all(Array.from({ length: runs }, (_, index) => run(engine, `many-${index}`)));
  await untilRows(
    home,
    Array.from({ length: 2 * runs }, () => ({ state: 'delivered', attempts: '1' })),
  );
  const ids = ops.received.map(({ event }) => event.id);
  expect([ids.length, new Set(ids).size]).toEqual([2 * runs, 2 * runs]);

  await ops.down();
  const name = await run(engine, 'terminated');
  const id = `notification/${name}/1/1/started/ops`;
  const pending = { state: 'pending', last_error: 'ECONNREFUSED' };
  await expect.poll(async () => (await rows(home)).slice(-2), { timeout: 45_000 }).toMatchObject([pending, pending]);
  await engine.client.workflow.getHandle(id).terminate('lost with its server');
  await ops.up();
  // A worker that starts looks at all that is pending, also at what was begun.
  await engine.restartWorker();
  await ops.event(({ data }) => data.name === name && data.event === 'started');
  await untilRows(
    home,
    Array.from({ length: 2 * runs + 2 }, () => ({ state: 'delivered' })),
  );
});
