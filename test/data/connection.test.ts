import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { effectBench } from '../harness/effect-context.ts';
import { dataRoom } from './room.ts';

test('options in a database’s URL come on top of ours, not instead of them', async () => {
  const room = await dataRoom('CREATE TABLE t (a int)');
  const url = new URL(room.url);
  url.searchParams.set('options', '-c work_mem=8MB -c row_security=on');
  url.searchParams.set('application_name', 'elsewhere');
  url.searchParams.set('sslmode', 'disable');
  const database = new Database('app', { url: url.href });
  try {
    const [row] = await database.query(
      "SELECT current_setting('row_security') AS rls, current_setting('search_path') AS path, current_setting('work_mem') AS mem, current_setting('TimeZone') AS zone",
    );
    expect(row).toEqual({ rls: 'off', path: 'pg_catalog', mem: '8MB', zone: 'UTC' });
  } finally {
    await database.close();
  }
});

test('what a role’s clients are limited to doesn’t end a session of ours that rests', async () => {
  const room = await dataRoom('CREATE TABLE t (a int)');
  const [settings, database] = [new Database('app', { url: room.url }), new Database('app', { url: room.url })];
  const LIMITS = ['idle_in_transaction_session_timeout', 'idle_session_timeout', 'lock_timeout', 'transaction_timeout'];
  try {
    const name = new URL(room.url).pathname.slice(1);
    for (const limit of LIMITS) await settings.query(`ALTER DATABASE "${name}" SET ${limit} = '7s'`);
    const found = await database.session((session) =>
      session.query('SELECT name, setting FROM pg_settings WHERE name = ANY ($1) ORDER BY name', [LIMITS]),
    );
    const pooled = await database.query('SELECT name, setting FROM pg_settings WHERE name = ANY ($1) ORDER BY name', [
      LIMITS,
    ]);
    expect([found, pooled]).toEqual(Array(2).fill(LIMITS.map((limit) => ({ name: limit, setting: '0' }))));
  } finally {
    await Promise.all([settings.close(), database.close()]);
  }
});

/** A pooler as far as startup goes: it lets `options` fall, or refuses it. */
async function pooler(to: URL, answer: 'drops' | 'refuses'): Promise<URL> {
  const server = createServer((client) => {
    client.on('error', () => undefined);
    client.once('data', (startup) => {
      if (answer === 'refuses') {
        const fields = Buffer.from('SFATAL\0C08P01\0Munsupported startup parameter: options\0\0');
        const head = Buffer.alloc(5, 'E');
        head.writeInt32BE(fields.length + 4, 1);
        client.end(Buffer.concat([head, fields]));
        return;
      }
      const words = startup.toString('utf8', 8).split('\0');
      const at = words.indexOf('options');
      const kept = Buffer.from(words.toSpliced(at, 2).join('\0'));
      const head = Buffer.from(startup.subarray(0, 8));
      head.writeInt32BE(kept.length + 8, 0);
      const upstream = connect(Number(to.port), to.hostname);
      upstream.on('error', () => client.destroy());
      upstream.write(Buffer.concat([head, kept]));
      client.pipe(upstream).pipe(client);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const url = new URL(to);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return url;
}

test('a pooler that drops or refuses the settings of our sessions is named, and what to do', async () => {
  const room = await dataRoom('CREATE TABLE t (a int)');
  const begin = (url: URL) => effectBench(url.href);
  await expect(begin(await pooler(new URL(room.url), 'drops'))).rejects.toMatchObject({
    code: 'Unsupported',
    message: expect.stringContaining('row_security, search_path'),
    hint: expect.stringContaining("ALTER ROLE … SET row_security = 'off'"),
  });
  await expect(begin(await pooler(new URL(room.url), 'refuses'))).rejects.toMatchObject({
    code: 'DatabaseUnreachable',
    hint: expect.stringContaining('ignore_startup_parameters'),
  });
});
