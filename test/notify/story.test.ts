import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { receiver as example } from '../../examples/notifications/receiver.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import type { WebhookConfig } from '../../src/adapters/notify/webhook.ts';
import { cloudEventsOf } from '../../src/report/cloud-events.ts';
import { NOTIFICATION_EVENTS } from '../../src/messages/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { faultsOf } from './cloud-event-schema.ts';
import { type Event, type Receiver, SECRETS, startReceiver, verify } from './receiver.ts';

const by = 'ana@example.com';
const requestedBy = 'bo@example.com';
const hook = (name: string, to: Receiver, more: Partial<WebhookConfig> = {}): WebhookConfig => ({
  name,
  webhook: to.url,
  events: NOTIFICATION_EVENTS,
  secrets: [],
  services: null,
  ...more,
});
const isOf = (name: string, event: string) => (one: Event) => one.data.name === name && one.data.event === event;

/** What a person does who copies what the event says: sends the signal as it stands there, under a name of their own. */
async function follow(engine: Engine, event: Event, name: string): Promise<void> {
  const signal = event.data.next.find((one) => one.signal?.name === name)?.signal;
  if (signal == null) throw new Error(`the event says nothing of ${name}: ${JSON.stringify(event.data.next)}`);
  await engine.client.workflow.getHandle(signal.workflowId).signal(signal.name, { ...(signal.payload as object), by });
}

const never = { sql: { database: 'home', query: 'select 1', equals: 0 } };
const plan = (name: string): PlanInput =>
  planOf(
    name,
    [
      { name: 'ask', approval: 'before', steps: [{ id: 'rest', uses: 'wait', for: '1ms' }] },
      {
        name: 'look',
        steps: [
          { id: 'quiet', uses: 'check', name: 'quiet', ...never, every: '100ms', deadline: '100ms', onFailure: 'hold' },
        ],
      },
    ],
    {
      risk: 'moderate',
      policies: { approvals: [{ risk: 'moderate', roles: ['dba'] }] },
      services: {
        accounts: { provides: { user: ['1.4.0', '2.0.0'] } },
        billing: { consumes: { user: '>=1.2 <3' } },
      },
    },
  );

test('each event is a signed CloudEvent that says what to do next; to do it carries the run on', async () => {
  const [ops, billing] = [await startReceiver(), await startReceiver('/other?token=hidden')];
  const engine = await startEngine({
    approvers: { dba: [by] },
    notifications: [
      hook('ops', ops, { secrets: SECRETS }),
      hook('billing', billing, { services: ['billing'], events: ['started', 'completed'] }),
      hook('search', billing, { services: ['search'] }),
    ],
  });
  const name = engine.name('told');
  const handle = await engine.switchback.start(plan(name), { requestedBy });
  await follow(engine, await ops.event(isOf(name, 'approval-needed')), 'approve');
  await follow(engine, await ops.event(isOf(name, 'held')), 'skip');
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  await Promise.all([ops, billing].map((one) => one.event(isOf(name, 'completed'))));

  const told = Object.fromEntries(ops.received.map(({ event }) => [event.data.event, event]));
  expect(Object.keys(told).toSorted()).toEqual(['approval-needed', 'completed', 'held', 'started']);
  // The other team's channel has what concerns its service; nobody is told of a service that takes no part.
  expect(billing.received.map(({ event }) => event.data.event).toSorted()).toEqual(['completed', 'started']);
  for (const received of [...ops.received, ...billing.received]) {
    expect(faultsOf(received.event)).toEqual([]);
    expect(received.headers).toMatchObject({
      'content-type': 'application/cloudevents+json; charset=utf-8',
      'webhook-id': received.event.id,
    });
    expect(received.body).not.toMatch(/whsec_|hidden|postgres:/);
  }
  // A receiver that has the new secret takes it, and so does one that still has the old one; another takes nothing.
  for (const received of ops.received) {
    for (const secret of SECRETS) expect(verify(received, secret)).toEqual(received.event);
    expect(() => verify(received, 'whsec_YW5vdGhlciBzZWNyZXQgdGhhdCBub2JvZHkgaGFz')).toThrow('No matching signature');
    expect(() => verify({ ...received, body: `${received.body} ` }, SECRETS[0])).toThrow('No matching signature');
  }
  expect(billing.received.some(({ headers }) => 'webhook-signature' in headers)).toBe(false);

  expect(told['started']).toMatchObject({
    source: `/switchback/default/migration/${name}`,
    type: 'dev.switchback.migration.started.v1',
    id: `${name}/1/1/started`,
    subject: name,
    data: { owner: 'team-test', requestedBy, by: requestedBy, services: ['accounts', 'billing'] },
  });
  expect(told['approval-needed']).toMatchObject({
    subject: 'ask/before',
    data: {
      ...{ name, version: 1, risk: 'moderate', phase: 'ask', step: null, gate: 'ask/before' },
      status: 'awaiting-approval',
      reason: 'ask/before has 0 of 1 approvals (dba)',
    },
  });
  expect(told['approval-needed']?.data.next[0]).toEqual({
    why: 'approve ask/before',
    command: `switchback approve ${name} ask/before --as you@example.com`,
    signal: {
      workflowId: `migration/${name}`,
      name: 'approve',
      payload: { gate: 'ask/before', decisionId: 'ask/before-1-1', by: 'you@example.com', comment: 'why' },
    },
  });
  expect(told['held']).toMatchObject({
    subject: 'quiet',
    data: { phase: 'look', step: 'quiet', error: { code: 'ConditionUnmet' }, status: 'held' },
  });
  // The audit, exported, has the same events under the same IDs, and more of them.
  const exported = cloudEventsOf(await engine.switchback.audit(name));
  for (const { id, source, type, subject, time } of Object.values(told))
    expect(exported).toContainEqual(expect.objectContaining({ id, source, type, subject, time }));
  expect(exported.flatMap(faultsOf)).toEqual([]);
  expect(new Set(exported.map(({ id }) => id)).size).toBe(exported.length);
  expect(exported.map(({ data }) => data.event)).toEqual(expect.arrayContaining(['approved', 'step-done', 'skipped']));
  // Lists of migrations have none of the runs that told this.
  expect((await engine.switchback.list()).filter((one) => one.name.includes(engine.name('')))).toHaveLength(1);
});

test('the receiver of the docs takes what is signed for it, each event once', async () => {
  const handled: string[] = [];
  const server = example(SECRETS[0], async ({ data }) => void handled.push(data.event)).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const webhook = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const of = { webhook, events: ['completed' as const] };
  const ops = await startReceiver();
  const engine = await startEngine({
    notifications: [
      hook('right', ops, { ...of, secrets: SECRETS }),
      hook('again', ops, { ...of, secrets: [SECRETS[0]] }),
      hook('wrong', ops, { ...of, secrets: [SECRETS[1]] }),
    ],
  });
  const name = engine.name('example');
  const rest = planOf(name, [{ name: 'one', steps: [{ id: 'rest', uses: 'wait', for: '1ms' }] }]);
  await (await engine.switchback.start(rest, { requestedBy })).result();
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  onTestFinished(() => home.close());
  await expect
    .poll(() => home.query('SELECT webhook, state FROM switchback.notifications WHERE attempts > 0 ORDER BY id'), {
      timeout: 30_000,
    })
    .toEqual([
      { webhook: 'right', state: 'delivered' },
      { webhook: 'again', state: 'delivered' },
      { webhook: 'wrong', state: 'pending' },
    ]);
  expect(handled).toEqual(['completed']);
});

test('a window that is closed, a rollback and its end are told', async () => {
  const ops = await startReceiver();
  const engine = await startEngine({ notifications: [hook('ops', ops)] });
  const name = engine.name('closed');
  const to = new Date(Date.now() + 3_600_000).toISOString();
  const shut = planOf(name, [{ name: 'one', steps: [{ id: 'look', uses: 'check', name: 'look', ...never }] }], {
    policies: { windows: [{ deny: 'freeze', from: '2020-01-01', to }] },
  });
  const handle = await engine.switchback.start(shut, { requestedBy });
  const closed = await ops.event(isOf(name, 'window-closed'));
  expect(closed).toMatchObject({ subject: 'look', data: { step: 'look', phase: 'one', detail: { nextAt: to } } });
  expect(closed.data.detail['why']).toContain('denied by freeze');
  await follow(engine, closed, 'approve');
  await untilStatus(handle, ({ phases }) => phases[0]?.steps[0]?.state === 'running');
  await handle.abort({ by, comment: 'not today' });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  const back = await ops.event(isOf(name, 'rolling-back'));
  expect(back.data).toMatchObject({ by, detail: { reason: `aborted by ${by}: not today` } });
  expect(await ops.event(isOf(name, 'rolled-back'))).toMatchObject({
    data: { status: 'rolled-back', next: [{ command: `switchback report ${name}`, signal: null }] },
  });
});
