import { Writable } from 'node:stream';
import pino from 'pino';
import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { keyHash } from '../../src/adapters/postgres/key-hash.ts';
import { withLedgers } from '../../src/cli/report-facts.ts';
import { reportHtml } from '../../src/report/report-html.ts';
import { reportMarkdown } from '../../src/report/report-markdown.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { SECRETS, startReceiver, status as answers } from '../notify/receiver.ts';

const CANARY = 'pii-canary';
/** In the addresses of webhooks, which are told to nobody. */
const ADDRESS_CANARY = 'hook-canary';
const on = { database: 'app', onFailure: 'hold' } as const;

/** A secret value in keys and columns of each table, and something that brings each step to quote it. */
const TABLES = `SET search_path = public;
CREATE TABLE casts (email text PRIMARY KEY, note text, n int);
CREATE TABLE twins (email text PRIMARY KEY, note text);
CREATE TABLE raises (email text PRIMARY KEY, note text, n int);
CREATE TABLE differs (email text PRIMARY KEY, note text, n int);
CREATE TABLE lost (email text PRIMARY KEY, note text);
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['casts', 'twins', 'raises', 'differs', 'lost'] LOOP
    EXECUTE format('INSERT INTO %I (email, note) SELECT ''${CANARY}-key-'' || i, ''${CANARY}-note'' FROM generate_series(1, 30) i', t);
  END LOOP;
END $$;
CREATE FUNCTION grumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'no % here', new.note USING HINT = new.note, DETAIL = new.note;
END $$;
CREATE TRIGGER grumble BEFORE UPDATE ON raises FOR EACH ROW EXECUTE FUNCTION grumble();
SET search_path = pg_catalog`;

/** All text in a history's payloads, whatever their encoding, and in the rest of it. */
const textsOf = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (part instanceof Uint8Array ? Buffer.from(part).toString() : part));

async function everythingTold(engine: Engine, name: string): Promise<string> {
  const handle = engine.client.workflow.getHandle(`migration/${name}`);
  const status = await engine.switchback.handle(name).status();
  const settings = { config: engine.config, configProblem: null, dev: null, taskQueue: engine.config.taskQueue };
  const facts = await withLedgers(settings, (ledgers) => ledgers.facts(status));
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  const kept = await home.query(
    `SELECT json_agg(t)::text AS kept FROM (
       SELECT to_json(m) AS row FROM switchback.migrations m UNION ALL SELECT to_json(f) FROM switchback.failures f
       UNION ALL SELECT to_json(p) FROM switchback.progress p UNION ALL SELECT to_json(a) FROM switchback.audit a
       UNION ALL SELECT to_json(n) FROM switchback.notifications n) t`,
  );
  await home.close();
  return [
    textsOf(await handle.fetchHistory()),
    textsOf((await handle.describe()).raw),
    JSON.stringify(status),
    reportMarkdown(status, facts),
    reportHtml(status, facts),
    JSON.stringify(facts),
    kept[0]?.['kept'],
  ].join('\n');
}

test('no value of a labelled table is in an error, log, heartbeat, status, history, ledger of decisions or report', {
  timeout: 120_000,
}, async () => {
  const lines: string[] = [];
  const sink = new Writable({ write: (line: Buffer, _encoding, done) => (lines.push(line.toString()), done()) });
  const receiver = await startReceiver(`/${ADDRESS_CANARY}`);
  const events = ['held', 'rolled-back'] as const;
  const hook = { webhook: receiver.url, events, secrets: [SECRETS[0]], services: null };
  const shut = await startReceiver(`/shut?token=${ADDRESS_CANARY}`);
  shut.answer = answers(410);
  const engine = await startEngine({
    notifications: [
      { ...hook, name: 'ops' },
      { ...hook, name: 'shut', webhook: shut.url },
    ],
    databases: ['app'],
    labels: { app: { casts: ['pii'], raises: ['pii'], differs: ['pii'] } },
    log: pino({ level: 'debug' }, sink),
  });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  await app.query(TABLES);
  const name = engine.name('masked');
  const steps = [
    { id: 'casts', uses: 'backfill', ...on, table: 'casts', set: { n: 'note::int' } },
    { id: 'raises', uses: 'backfill', ...on, table: 'raises', set: { n: '1' }, maxRowErrors: 2 },
    { id: 'twins', uses: 'ddl', ...on, up: 'CREATE UNIQUE INDEX CONCURRENTLY twins_note ON twins (note)' },
    { id: 'differs', uses: 'verify', ...on, table: 'differs', expect: { n: '1' }, onMismatch: 'fail' },
    {
      id: 'asks',
      uses: 'check',
      onFailure: 'hold',
      name: 'no number',
      deadline: '1s',
      every: '200ms',
      sql: { database: 'app', query: 'select note::int from public.lost limit 1', max: 1 },
    },
  ] as const;
  const plan = planOf(name, [{ name: 'main', steps: [...steps] }]);
  const labelled = { ...plan, metadata: { ...plan.metadata, labels: { pii: 'app/twins' } } };
  const handle = await engine.switchback.start(labelled, { requestedBy: 'ana@example.com' });
  const held = await untilStatus(
    handle,
    ({ phases }) => phases[0]?.steps.every(({ state }) => state === 'held' || state === 'failed') === true,
  );
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  const [salts] = await home.query('SELECT count(*) AS salts, min(salt) AS salt FROM switchback.salts');
  await home.close();
  const told = await everythingTold(engine, name);
  // Every step failed of what it was to fail of.
  for (const words of [
    '1 row could not be changed, 0 allowed',
    '3 rows could not be changed, 2 allowed',
    'unique_violation of constraint \\"twins_note\\"',
    '30 of 30 rows differ',
    'app: invalid_text_representation',
  ])
    expect(told, words).toContain(words);
  expect(held.phases[0]?.steps).toHaveLength(steps.length);
  expect(salts?.['salts']).toBe('1');
  expect(told).toContain(keyHash(salts?.['salt'] ?? '', [`${CANARY}-key-1`]));
  expect(told).not.toContain(salts?.['salt']);
  await handle.abort({ by: 'ana@example.com', comment: 'enough' });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  const last = await receiver.event(({ data }) => data.event === 'rolled-back');
  const sent = receiver.received.map(({ body }) => body);
  expect(sent.join('\n')).toContain('30 of 30 rows differ');
  const delivery = engine.client.workflow.getHandle(`notification/${last.id}/shut`);
  await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'WebhookFailed' } });
  const all = [
    ...[told, await everythingTold(engine, name), ...sent, ...lines],
    ...[textsOf(await delivery.fetchHistory()), textsOf((await delivery.describe()).raw)],
  ].join('\n');
  expect(all).toContain('a notification was given up');
  expect(all).not.toContain(ADDRESS_CANARY);
  expect(all).not.toContain(SECRETS[0].slice('whsec_'.length));
  expect(lines.join('')).toContain('activity failed');
  expect(all.slice(Math.max(0, all.indexOf(CANARY) - 300), all.indexOf(CANARY) + 200)).not.toContain(CANARY);
  // In the database that they came from, the words are as Postgres said them.
  const words = await app.query('SELECT message FROM switchback.row_errors ORDER BY step LIMIT 1');
  expect(words[0]?.['message']).toContain(`"${CANARY}-note"`);
  await app.close();
});
