import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import pg from 'pg';
import { type DataRoom, dataRoom, effects, users } from '../data/room.ts';
import { type ScratchServer, scratchServer } from '../harness/scratch-server.ts';
import { clientOf, gateAt } from './gate.ts';
import { byWayOf } from './ways.ts';

const { dualWrite, backfill, verify } = effects;
const CHUNKS = { chunk: { rows: 50, fixed: true } };
/** So many connections are left to those who are no superuser. */
const SLOTS = 12;

let server: ScratchServer;
beforeAll(async () => {
  server = await scratchServer();
});
afterAll(() => server.stop());

async function prepared(rows: number): Promise<DataRoom> {
  const room = await dataRoom(users(rows), server.url);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const marker = await room.value(
    "SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname LIKE 'zz\\_switchback\\_%'",
  );
  await room.query(`CREATE TABLE public.filled (id bigint);
    CREATE FUNCTION public.note_fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.filled VALUES (new.id); RETURN new; END $$;
    CREATE TRIGGER note_fill AFTER UPDATE ON public.users FOR EACH ROW
      WHEN (old."${marker}" IS NULL AND new."${marker}" = 2) EXECUTE FUNCTION public.note_fill()`);
  return room;
}
async function expectAllOnce(room: DataRoom, rows: number): Promise<void> {
  expect(await room.query('SELECT count(*) AS times, count(DISTINCT id) AS rows FROM public.filled')).toEqual([
    { times: String(rows), rows: String(rows) },
  ]);
  expect((await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toMatch(
    /^0 of .* rows differ/,
  );
}

test('the primary crashes in the middle of a backfill, beside VACUUM and clients: nothing lost, every row once', async () => {
  const room = await prepared(1_000);
  const gate = await gateAt(room, 'old.id = 701');
  const filling = backfill.up(room.backfill(CHUNKS), room.bench.context());
  await gate.reached(filling);
  // What a client was told is there must stay; what the slice has committed without a flush may go, cursor and all.
  await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id IN (7, 999)");
  const byClient = Number(
    await room.value(
      'SELECT count(*) FROM public.users WHERE id IN (7, 999) AND id NOT IN (SELECT id FROM public.filled)',
    ),
  );
  await (await clientOf(room)).query('VACUUM (ANALYZE) users');
  await room.query('ALTER SYSTEM SET superuser_reserved_connections = 286');
  await server.crash();
  await expect(filling).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
  await expect(backfill.up(room.backfill(CHUNKS), room.bench.context())).rejects.toMatchObject({
    code: 'DatabaseUnreachable',
    retry: true,
  });
  await server.start();
  const vacuuming = (await clientOf(room)).query('VACUUM (ANALYZE) users');
  await backfill.up(room.backfill(CHUNKS), room.bench.context());
  await vacuuming;
  await expectAllOnce(room, 1_000 - byClient);
  expect(
    await room.value(
      "SELECT count(*) FROM public.users WHERE full_name = 'Jean Luc Picard' AND given_name = 'Jean Luc'",
    ),
  ).toBe('2');
});

test('no connection is left when the backfill has lost its own: said as it is, and done when there is one', async () => {
  const room = await prepared(400);
  // The test before has left few connections to those who are no superuser.
  expect(Number(await room.value("SELECT 300 - current_setting('superuser_reserved_connections')::int"))).toBe(
    SLOTS + 2,
  );
  await room.query(`CREATE ROLE worker LOGIN SUPERUSER PASSWORD 'w'; CREATE ROLE web LOGIN PASSWORD 'w'`);
  const as = (role: string): string => {
    const url = new URL(room.url);
    [url.username, url.password] = [role, 'w'];
    return url.href;
  };
  const bench = byWayOf(room.bench, { url: as('worker') });
  const gate = await gateAt(room, 'old.id = 201');
  const filling = backfill.up(room.backfill(CHUNKS), bench.context());
  await gate.reached(filling);
  const clients: pg.Client[] = [];
  onTestFinished(async () => void (await Promise.all(clients.map((client) => client.end().catch(() => undefined)))));
  await expect(fill(as('web'), clients)).rejects.toMatchObject({ code: '53300' });
  // From now on the worker has no more rights than the web, and loses what it has.
  await room.query(`ALTER ROLE worker NOSUPERUSER; GRANT ALL ON ALL TABLES IN SCHEMA public, switchback TO worker;
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'worker'`);
  await expect(filling).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
  await expect(fill(as('web'), clients)).rejects.toMatchObject({ code: '53300' });
  const next = byWayOf(room.bench, { url: as('worker') });
  await expect(backfill.up(room.backfill(CHUNKS), next.context())).rejects.toMatchObject({
    code: 'DatabaseUnreachable',
    retry: true,
    message: expect.stringContaining('has no connection left'),
    hint: expect.stringContaining('max_connections'),
  });
  await gate.open();
  await Promise.all(clients.map((client) => client.end()));
  await room.query('ALTER ROLE worker SUPERUSER');
  await backfill.up(room.backfill(CHUNKS), next.context());
  await expectAllOnce(room, 400);
  await room.query('DROP OWNED BY worker; DROP OWNED BY web; DROP ROLE worker, web');
});

/** Opens connections until there is none left. */
async function fill(url: string, clients: pg.Client[]): Promise<never> {
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
  }
}
