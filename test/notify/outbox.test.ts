import { expect, onTestFinished, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import {
  beginAttempt,
  dueNotices,
  giveUp,
  noteDelivered,
  type Notice,
  noteStarted,
  remind,
} from '../../src/adapters/postgres/notifications.ts';
import { cloudEventOf, type NotificationRef } from '../../src/messages/index.ts';
import { freshDatabase } from '../harness/servers.ts';

const run = { migration: 'a', version: 1, digest: 'd', epoch: 1, generation: 1 };
const event = (key: string) => ({ key, type: 'held', by: null, data: { what: 'nul\0 and half a pair \ud83d' } });
const notice = (key: string, webhook: string): Notice => ({
  ...{ key, webhook, namespace: 'default', event: 'held' },
  payload: cloudEventOf({
    ...{ ...run, key, namespace: 'default', name: 'held', subject: null },
    data: { step: 's', text: 'nul\0 and half a pair \ud83d' },
  }),
});
const ref = (key: string, webhook: string): NotificationRef => ({ migration: 'a', version: 1, epoch: 1, key, webhook });

async function ledger(): Promise<{ home: HomeLedger; database: Database }> {
  const { url } = await freshDatabase('outbox');
  const database = new Database('home', { url });
  onTestFinished(() => database.close());
  await upgradeLedger(database, { home: true });
  return { home: new HomeLedger(database), database };
}

test('an event is on record and in the outbox once, however often and by whoever it is written', async () => {
  const { home, database } = await ledger();
  const write = (key: string) =>
    home.record(run, [event(key)], null, { notices: [notice(key, 'one'), notice(key, 'two')] });
  await Promise.all(Array.from({ length: 8 }, (_, index) => write(`1.${index % 2}`)));
  // An event that was on record before is no news to a webhook that was added since.
  await home.record(run, [event('1.0')], null, { notices: [notice('1.0', 'later')] });
  const rows = await database.query(
    'SELECT event_key, webhook, n.at = a.at AS same FROM switchback.notifications n JOIN switchback.audit a USING (migration, version, epoch, event_key) ORDER BY event_key, webhook',
  );
  expect(rows).toEqual(
    ['1.0', '1.1'].flatMap((key) => ['one', 'two'].map((webhook) => ({ event_key: key, webhook, same: 't' }))),
  );
  const attempt = await beginAttempt(database, ref('1.0', 'one'));
  expect(JSON.parse(attempt?.body ?? '')).toMatchObject({
    id: 'a/1/1/1-0',
    data: { text: 'nul\ufffd and half a pair \ufffd' },
  });
});

test('what cannot be written is neither on record nor told', async () => {
  const { home, database } = await ledger();
  await database.query("ALTER TABLE switchback.notifications ADD CHECK (webhook <> 'refused')");
  await expect(
    home.record(run, [event('1.0')], null, { notices: [notice('1.0', 'one'), notice('1.0', 'refused')] }),
  ).rejects.toMatchObject({ code: 'StatementFailed' });
  expect(await database.query('SELECT event_key FROM switchback.audit')).toEqual([]);
  expect(await database.query('SELECT webhook FROM switchback.notifications')).toEqual([]);
});

test('what has ended stays so: no attempt, no second end', async () => {
  const { home, database } = await ledger();
  await home.record(run, [event('1.0')], null, { notices: [notice('1.0', 'one'), notice('1.0', 'two')] });
  await noteDelivered(database, ref('1.0', 'one'));
  expect(await giveUp(database, ref('1.0', 'one'), 'too late')).toBeNull();
  expect(await beginAttempt(database, ref('1.0', 'one'))).toBeNull();
  expect(await giveUp(database, ref('1.0', 'two'), 'no')).toEqual({ event: 'held', attempts: 0 });
  expect(await giveUp(database, ref('1.0', 'two'), 'no')).toBeNull();
  // A delivery whose answer came after that changes nothing any more.
  await noteDelivered(database, ref('1.0', 'two'));
  expect(await database.query('SELECT webhook, state, last_error FROM switchback.notifications ORDER BY id')).toEqual([
    { webhook: 'one', state: 'delivered', last_error: null },
    { webhook: 'two', state: 'given-up', last_error: 'no' },
  ]);
  expect(await home.events(run, ['notification-given-up'])).toMatchObject([{ data: { webhook: 'two', reason: 'no' } }]);
});

test('what is due comes in pages, in order, of this namespace, and once until a worker starts', async () => {
  const { home, database } = await ledger();
  const keys = Array.from({ length: 5 }, (_, index) => `1.${index}`);
  for (const key of keys) await home.record(run, [event(key)], null, { notices: [notice(key, 'one')] });
  await home.record(run, [event('9')], null, { notices: [{ ...notice('9', 'one'), namespace: 'other' }] });
  const instant = new Date(Date.now() + 3_600_000).toISOString();
  await remind(database, run, [
    { ...notice('later', 'one'), event: 'deprecation-near', instant, beforeMs: 1_800_000 },
    { ...notice('past', 'one'), event: 'deprecation-near', instant, beforeMs: 7_200_000 },
  ]);
  const page = async (afterId: string, all = false) =>
    dueNotices(database, { namespace: 'default', afterId, all, max: 3 });
  const first = await page('0');
  expect(first.map(({ key }) => key)).toEqual(['1.0', '1.1', '1.2']);
  expect((await page(first.at(-1)?.id ?? '')).map(({ key }) => key)).toEqual(['1.3', '1.4']);
  for (const one of first) await noteStarted(database, one);
  expect((await page('0')).map(({ key }) => key)).toEqual(['1.3', '1.4']);
  expect((await page('0', true)).map(({ key }) => key)).toEqual(['1.0', '1.1', '1.2']);
  expect(
    await database.query("SELECT event_key FROM switchback.notifications WHERE event_key IN ('later', 'past')"),
  ).toEqual([{ event_key: 'later' }]);
});
