import { expect, onTestFinished, test } from 'vitest';
import type { WebhookConfig } from '../../src/adapters/notify/webhook.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { NotificationEvent } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { faultsOf } from './cloud-event-schema.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const by = 'ana@example.com';
const DAY_MS = 86_400_000;
const EVENTS: NotificationEvent[] = ['started', 'deprecated', 'deprecation-near', 'deprecation-withdrawn'];
const hook = (name: string, to: Receiver, services: string[]): WebhookConfig => ({
  ...{ name, webhook: to.url, events: EVENTS, secrets: [], services },
});
const services = {
  accounts: { provides: { user: ['1.4.0', '2.0.0'] } },
  billing: { consumes: { user: '>=1.2 <2' } },
  search: { consumes: { user: '^2.0.0' } },
};
/** Told by `told`; then it waits for an approval, which no test gives. */
const plan = (name: string, told: { at?: string; sunset: string }): PlanInput =>
  planOf(
    name,
    [
      {
        name: 'tell',
        steps: [{ id: 'old', uses: 'deprecate', interface: 'user', version: '1.4.0', at: '2026-01-01', ...told }],
      },
      { name: 'ask', steps: [{ id: 'ask', uses: 'approval' }] },
    ],
    { services },
  );
const seconds = (text: string): string => `${text.slice(0, 19)}Z`;
const inMs = (ms: number): string => seconds(new Date(Date.now() + ms).toISOString());

function homeOf({ config }: Engine): Database {
  const home = new Database('home', { url: config.databases['home']?.url ?? '' });
  onTestFinished(() => home.close());
  return home;
}
const rowsOf = (home: Database, name: string) =>
  home.query(
    `SELECT webhook, event_key, state, attempts FROM switchback.notifications WHERE migration = $1 AND event LIKE 'deprecat%' ORDER BY id`,
    [name],
  );

test('consumers that the plan names have notice when it starts, when it is on record, and before the sunset; withdrawn, no more', async () => {
  const [billing, search] = [await startReceiver('/billing'), await startReceiver('/search')];
  const engine = await startEngine({
    notifications: [hook('billing', billing, ['billing']), hook('search', search, ['search'])],
    deprecationNotice: ['30d', '7d', '1d'],
  });
  const home = homeOf(engine);
  const name = engine.name('told');
  // Of the three reminders the first would be in the past.
  const sunset = inMs(20 * DAY_MS);
  const handle = await engine.switchback.start(plan(name, { sunset }), { requestedBy: by });
  const consumers = [{ service: 'billing', range: '>=1.2 <2', mustUpgrade: true }];
  const concerned = { interface: 'user', version: '1.4.0', sunset, providers: ['accounts'], consumers };
  expect(await billing.event(({ data }) => data.event === 'started')).toMatchObject({
    data: {
      services: ['accounts', 'billing', 'search'],
      detail: { phases: ['tell', 'ask'], deprecations: [concerned] },
    },
  });
  expect(await billing.event(({ data }) => data.event === 'deprecated')).toMatchObject({
    id: `${name}/1/1/deprecated/old`,
    subject: 'old',
    data: { owner: 'team-test', step: 'old', services: ['accounts', 'billing'], detail: concerned },
  });
  const due =
    "SELECT (extract(epoch FROM at) * 1000)::bigint AS ms FROM switchback.notifications WHERE event = 'deprecation-near' ORDER BY id";
  expect(await home.query(due)).toEqual([7, 1].map((days) => ({ ms: String(Date.parse(sunset) - days * DAY_MS) })));
  // The days go by.
  await home.query("UPDATE switchback.notifications SET at = clock_timestamp() WHERE event_key LIKE '%/7d'");
  const near = await billing.event(({ data }) => data.event === 'deprecation-near');
  expect(near.data.detail).toMatchObject({ ...concerned, before: '7d' });
  await expect
    .poll(() => rowsOf(home, name), { timeout: 30_000 })
    .toEqual([
      { webhook: 'billing', event_key: 'deprecated/old', state: 'delivered', attempts: '1' },
      { webhook: 'billing', event_key: `deprecation-near/old/${sunset}/7d`, state: 'delivered', attempts: '1' },
      { webhook: 'billing', event_key: `deprecation-near/old/${sunset}/1d`, state: 'pending', attempts: '0' },
    ]);

  await untilStatus(handle, ({ status }) => status === 'awaiting-approval');
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await billing.event(({ data }) => data.event === 'deprecation-withdrawn')).toMatchObject({
    data: { services: ['accounts', 'billing'], detail: concerned },
  });
  expect((await rowsOf(home, name)).map((row) => row['state'])).toContain('withdrawn');
  // The service that is content with what stays hears that a migration began which it takes part in, and no more.
  expect(search.received.map(({ event }) => event.data.event)).toEqual(['started']);
  for (const { event } of [...billing.received, ...search.received]) expect(faultsOf(event)).toEqual([]);
  // The audit has the same events.
  const { decisions } = await engine.switchback.audit(name);
  expect(decisions.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['started', 'deprecated', 'deprecation-withdrawn']),
  );
});

test('a reminder looks whether the deprecation still stands as it was said', async () => {
  const billing = await startReceiver();
  const engine = await startEngine({
    notifications: [hook('billing', billing, ['billing'])],
    deprecationNotice: ['1d'],
  });
  const home = homeOf(engine);
  const [first, second] = [engine.name('first'), engine.name('second')];
  const sunset = inMs(30 * DAY_MS);
  await untilStatus(
    await engine.switchback.start(plan(first, { sunset }), { requestedBy: by }),
    ({ status }) => status === 'awaiting-approval',
  );
  // Another migration says later of the same version that it stays for longer.
  await untilStatus(
    await engine.switchback.start(plan(second, { sunset: inMs(60 * DAY_MS) }), { requestedBy: by }),
    ({ status }) => status === 'awaiting-approval',
  );
  // The days go by: each worker that starts looks at once.
  await home.query("UPDATE switchback.notifications SET at = clock_timestamp() WHERE event = 'deprecation-near'");
  await engine.restartWorker();
  const near = await billing.event(({ data }) => data.event === 'deprecation-near');
  expect(near.data.name).toBe(second);
  await expect
    .poll(async () => (await rowsOf(home, first)).at(-1), { timeout: 30_000 })
    .toMatchObject({ state: 'withdrawn', attempts: '0' });
  expect(billing.received.filter(({ event }) => event.data.event === 'deprecation-near')).toHaveLength(1);
});
