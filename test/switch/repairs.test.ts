import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { flag } from '../../src/activities/flag.ts';
import { repaired } from '../../src/activities/repaired.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { drainRepairs, openRepairs, provenRepaired } from '../../src/adapters/postgres/switch-repairs.ts';
import { createSwitch } from '../../src/switch/index.ts';
import { inputOf, room, unique } from '../rollout/room.ts';
import { BEATS, ledgerOfFile, type Place, poolOf, sqlError, Store, until } from './place.ts';

const place = ledgerOfFile();

type Stores = { old: Store; new: Store };
const pair = (): Stores => ({ old: new Store('old'), new: new Store('new') });
/** Brings one side to what the other holds, as a service's `repair` does. */
const copying =
  (stores: Stores) =>
  (key: string, lacking: 'old' | 'new'): void => {
    stores[lacking].rows.set(key, [...(stores[lacking === 'old' ? 'new' : 'old'].rows.get(key) ?? [])]);
  };

function service(here: Place, stores: Stores, options: object = {}) {
  const names = createSwitch({
    ...{ flag: here.flag, ...stores, key: (key: string) => key, sample: 0, ledger: here.pool, service: 'accounts' },
    ...{ ...BEATS, ...options },
  });
  onTestFinished(() => names.close());
  return names;
}
const refOf = ({ flag: name }: Place) => ({ environment: 'development', flag: name });
function engine(here: Place): Database {
  const database = new Database('home', { url: here.url });
  onTestFinished(() => database.close());
  return database;
}

test('several instances repair each key once', async () => {
  const here = place();
  await here.setStage('shadow');
  const stores = pair();
  const asked: string[] = [];
  const repair = (key: string, lacking: 'old' | 'new'): void => {
    asked.push(key);
    copying(stores)(key, lacking);
  };
  const writer = service(here, stores);
  stores.new.failsWith = sqlError('53300');
  const keys = Array.from({ length: 70 }, (_, n) => `user-${n}`);
  await Promise.all(keys.flatMap((key) => [writer.write(key, 'a'), writer.write(key, 'b')]));
  expect(await here.repairs()).toHaveLength(70);
  expect(await openRepairs(engine(here), refOf(here))).toMatchObject({
    ...{ open: 70, bothSides: 0, attemptsMax: 0, classes: [{ errorClass: '53300', count: 70 }] },
  });
  const repairers = [1, 2, 3].map(() => service(here, stores, { repair }));
  await until(async () => (await here.repairs()).length === 0);
  expect(asked.toSorted()).toEqual(keys.toSorted());
  expect(stores.new.rows).toEqual(stores.old.rows);
  const done = repairers.map(({ metrics }) => Number(/repairs_done_total\{.*\} (\d+)/.exec(metrics.text())?.[1]));
  expect(done.reduce((sum, one) => sum + one, 0)).toBe(70);
});

test('a failure of a key that is under repair is repaired after it', async () => {
  const here = place();
  await here.setStage('live');
  const stores = pair();
  const reading = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  let repairs = 0;
  const repair = async (key: string, lacking: 'old' | 'new'): Promise<void> => {
    repairs += 1;
    const read = [...(stores.new.rows.get(key) ?? [])];
    reading.resolve();
    if (repairs === 1) await go.promise;
    stores[lacking].rows.set(key, read);
  };
  const names = service(here, stores, { repair });
  stores.old.failsWith = sqlError('40001');
  await names.write('k', 'a');
  await reading.promise;
  await names.write('k', 'b');
  expect(await here.repairs()).toMatchObject([{ attempts: 1 }, { attempts: 0, side: 'old' }]);
  go.resolve();
  await until(async () => (await here.repairs()).length === 0);
  expect([repairs, stores.old.rows.get('k')]).toEqual([2, ['a', 'b']]);
});

test('a repair that fails is tried again, later and later; the engine has it tried at once; a dead instance holds up nobody', async () => {
  const here = place();
  await here.setStage('ramp-down');
  const stores = pair();
  const broken = { is: true };
  const repair = (key: string, lacking: 'old' | 'new'): void => {
    if (broken.is) throw sqlError('42P01');
    copying(stores)(key, lacking);
  };
  const names = service(here, stores, { repair });
  stores.old.failsWith = sqlError('53300');
  await names.write('k', 'a');
  const home = engine(here);
  const failed = await until(async () => (await openRepairs(home, refOf(here))).attemptsMax >= 2 && home);
  expect(await openRepairs(failed, refOf(here))).toMatchObject({ open: 1, classes: [{ errorClass: '42P01' }] });
  broken.is = false;
  await here.pool.query("UPDATE switchback.repairs SET not_before = now() + interval '1 hour' WHERE flag = $1", [
    here.flag,
  ]);
  expect((await drainRepairs(home, refOf(here))).open).toBe(1);
  await until(async () => (await here.repairs()).length === 0);
  // Taken by an instance that has died since: free when its time is up.
  await here.pool.query(
    `INSERT INTO switchback.repairs (environment, flag, key, side, error_class, attempts, taken_by, not_before)
     VALUES ('development', $1, 'l', 'old', '40001', 1, 'dead', now() + interval '300 milliseconds')`,
    [here.flag],
  );
  stores.new.rows.set('l', ['x']);
  await until(async () => (await here.repairs()).length === 0);
  expect(stores.old.rows.get('l')).toEqual(['x']);
});

test('a key that lacks on both sides is left to a person, who is told how many', async () => {
  const here = place();
  await here.setStage('live');
  const stores = pair();
  const names = service(here, stores, { repair: copying(stores) });
  await names.ready();
  await here.pool.query(
    `INSERT INTO switchback.repairs (environment, flag, key, side, error_class)
     VALUES ('development', $1, 'secret-key', 'old', '40001'), ('development', $1, 'secret-key', 'new', '53300')`,
    [here.flag],
  );
  stores.old.failsWith = sqlError('40001');
  await names.write('m', 'a');
  await until(async () => (await here.repairs()).length === 2);
  const signal = new AbortController().signal;
  const context = { deps: { home: { database: engine(here) } }, signal, report: () => undefined } as never;
  const held = await repaired(context, refOf(here), { timeoutMs: 0 }).catch((error: unknown) => error);
  expect(held).toMatchObject({
    ...{ code: 'RepairsOpen', retry: false, fields: { hold: true, open: 2, classes: '40001,53300' } },
    message: expect.stringContaining('2 keys open, 1 of them on both sides (40001 1, 53300 1)') as string,
  });
  expect(String(held)).not.toContain('secret-key');
});

test('with a journal a write whose process dies between the two sides is repaired', async () => {
  const here = place();
  await here.setStage('shadow');
  const stores = pair();
  const dying = service(here, stores, { journal: true });
  await dying.write('whole', 'a');
  expect(await here.repairs()).toEqual([]);
  stores.old.failsWith = sqlError('23505');
  await expect(dying.write('refused', 'a')).rejects.toBe(stores.old.failsWith);
  stores.old.failsWith = null;
  const release = stores.new.hold();
  const lost = dying.write('k', 'a');
  await until(() => stores.new.log.includes('write k'));
  // From here on its process does nothing any more. Nobody takes what may still be under way.
  expect(await here.repairs()).toMatchObject([{ key: 'k', side: 'new', error_class: 'unfinished' }]);
  expect((await openRepairs(engine(here), refOf(here))).open).toBe(0);
  service(here, stores, { repair: copying(stores) });
  await here.pool.query('UPDATE switchback.repairs SET not_before = now() WHERE flag = $1', [here.flag]);
  await until(async () => (await here.repairs()).length === 0);
  expect(stores.new.rows.get('k')).toEqual(['a']);
  release();
  await lost;
  stores.new.failsWith = sqlError('53300');
  await dying.write('second', 'a');
  expect(stores.old.rows.get('second')).toEqual(['a']);
  await until(() => stores.new.rows.get('second')?.[0] === 'a');
});

test('the documented rights suffice, and give no others', async () => {
  const here = place();
  await here.setStage('live');
  const role = `service_${randomBytes(4).toString('hex')}`;
  const rights = `GRANT USAGE ON SCHEMA switchback TO ${role};
GRANT SELECT ON switchback.stages TO ${role};
GRANT SELECT, INSERT, UPDATE, DELETE ON switchback.instances, switchback.repairs TO ${role};`;
  await here.pool.query(`CREATE ROLE ${role} LOGIN PASSWORD 'p'; ${rights}`);
  onTestFinished(async () => {
    await here.pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
  const url = new URL(here.url);
  url.username = role;
  url.password = 'p';
  const stores = pair();
  const pool = poolOf(url.href);
  const names = service(here, stores, { ledger: pool, repair: copying(stores), journal: true });
  await names.ready();
  expect(names.status().ledger).toMatchObject({ state: 'here', held: true });
  stores.old.failsWith = sqlError('53300');
  await names.write('k', 'a');
  await until(() => stores.old.rows.get('k')?.[0] === 'a');
  await names.close();
  expect(await here.instances()).toEqual([]);
  await expect(pool.query('UPDATE switchback.stages SET generation = 9')).rejects.toThrow('permission denied');
  await expect(pool.query('SELECT FROM switchback.migrations')).rejects.toThrow('permission denied');
});

test('a comparison of all rows takes off what was queued before it, and nothing else', async () => {
  const here = place();
  const home = engine(here);
  const add = (key: string, more: string): Promise<pg.QueryResult> =>
    here.pool.query(
      `INSERT INTO switchback.repairs (environment, flag, key, side, error_class, ${more.split('=')[0]})
       VALUES ('development', $1, $2, 'old', '40001', ${more.split('=')[1]})`,
      [here.flag, key],
    );
  await add('before', "last_failed_at=now() - interval '1 minute'");
  await add('since', "last_failed_at=now() + interval '1 minute'");
  await add('taken', "taken_by='accounts'");
  const [now] = await home.query('SELECT clock_timestamp()::text AS now');
  expect(await provenRepaired(home, refOf(here), now?.['now'] ?? '')).toBe(1);
  expect((await here.repairs()).map(({ key }) => key)).toEqual(['since', 'taken']);
});

test('the engine changes the stage when the queue is empty', async () => {
  const there = await room();
  const name = unique('flag');
  const pool = poolOf(there.url);
  const stores = pair();
  const broken = { is: true };
  const letIn = { percent: 100 };
  const names = createSwitch({
    ...{ flag: name, ...stores, key: (key: string) => key, sample: 0, ledger: pool, service: 'accounts', ...BEATS },
    // No client of Unleash here: what lets everybody in is what the engine sets.
    flags: {
      ask: () => ({ on: false, variant: null }),
      exposure: () => letIn.percent,
      heard: () => true,
      watch: () => () => undefined,
    },
    repair(key, lacking) {
      if (broken.is) throw sqlError('42P01');
      copying(stores)(key, lacking);
    },
  });
  onTestFinished(() => names.close());
  const input = (stage: string, id: string) => inputOf(there.run, { uses: 'flag', id, flag: name, stage }, {});
  const to = (stage: string, id: string) => flag.up(input(stage, id), there.context());
  await to('dual-write', 'a');
  stores.new.failsWith = sqlError('53300');
  await names.write('k', 'a');
  const next = to('shadow', 'b');
  await there.reported(({ note }) => note?.includes('waits for repairs of flag') === true);
  expect(names.stage()).toBe('dual-write');
  broken.is = false;
  await next;
  expect([names.stage(), stores.new.rows.get('k')]).toEqual(['shadow', ['a']]);
  // On the way back the new side need not have what it lacks; at `off` that is forgotten.
  broken.is = true;
  await names.write('l', 'a');
  await flag.down(input('shadow', 'b'), there.context());
  letIn.percent = 0;
  await flag.down(input('dual-write', 'a'), there.context());
  expect(names.stage()).toBe('off');
  expect((await pool.query('SELECT FROM switchback.repairs')).rowCount).toBe(0);
});
