import { describe, expect, onTestFinished, test } from 'vitest';
import { createSwitch, type Stage, STAGES, SwitchError } from '../../src/switch/index.ts';
import { BEATS, ledgerOfFile, type Place, sqlError, Store, until } from './place.ts';

const place = ledgerOfFile();

/** The table of docs/switch.md. */
const TABLE: Record<Stage, { reads: string[]; answer: 'old' | 'new'; writes: ('old' | 'new')[] }> = {
  off: { reads: ['old'], answer: 'old', writes: ['old'] },
  'dual-write': { reads: ['old'], answer: 'old', writes: ['old', 'new'] },
  shadow: { reads: ['old', 'new'], answer: 'old', writes: ['old', 'new'] },
  live: { reads: ['new', 'old'], answer: 'new', writes: ['new', 'old'] },
  'ramp-down': { reads: ['new'], answer: 'new', writes: ['new', 'old'] },
  complete: { reads: ['new'], answer: 'new', writes: ['new'] },
};

function switchAt(here: Place, options: object = {}) {
  const old = new Store('old');
  const fresh = new Store('new');
  const log: string[] = [];
  old.log.push = (...entries: string[]) => log.push(...entries.map((entry) => `old ${entry}`));
  fresh.log.push = (...entries: string[]) => log.push(...entries.map((entry) => `new ${entry}`));
  const names = createSwitch({
    ...{ flag: here.flag, old, new: fresh, key: (key: string) => key, sample: 1 },
    ...{ ledger: here.pool, service: 'accounts', ...BEATS, ...options },
  });
  onTestFinished(() => names.close());
  return { names, stores: { old, new: fresh }, log };
}

describe.each(STAGES)('at %s', (stage) => {
  const { reads, answer, writes } = TABLE[stage];

  test('reads and writes go where the table says', async () => {
    const here = place();
    await here.setStage(stage);
    const { names, stores, log } = switchAt(here);
    stores.old.rows.set('k', ['a']);
    stores.new.rows.set('k', ['a']);
    expect(await names.read('k')).toBe(`${answer}:a`);
    expect(names.stage()).toBe(stage);
    expect(log.splice(0).sort()).toEqual(reads.map((side) => `${side} read k`).sort());
    expect(await names.write('k', 'b')).toBe(`${writes[0]} has b`);
    expect(log.splice(0)).toEqual(writes.map((side) => `${side} write k`));
    const { counts } = names.status();
    for (const path of ['old', 'new'] as const) {
      const calls = reads.filter((side) => side === path).length + writes.filter((side) => side === path).length;
      expect(counts[path]).toMatchObject({ calls, errors: 0, units: calls > 0 ? 1 : 0, unitsFailed: 0 });
    }
    expect(await here.repairs()).toEqual([]);
  });

  test('a failing side reaches the caller where it is the authoritative one, and only there', async () => {
    const here = place();
    await here.setStage(stage);
    const { names, stores, log } = switchAt(here);
    for (const failing of ['old', 'new'] as const) {
      stores[failing].failsWith = sqlError('23505');
      const read = await names.read('k').catch((error: unknown) => error);
      if (failing === answer) expect(read).toBe(stores[failing].failsWith);
      else expect(read).toBe(`${answer}:`);
      log.splice(0);
      const write = await names.write(`k-${failing}`, 'b').catch((error: unknown) => error);
      if (failing === writes[0]) {
        expect(write).toBe(stores[failing].failsWith);
        expect(log).toEqual([`${failing} write k-${failing}`]);
      } else expect(write).toBe(`${writes[0]} has b`);
      stores[failing].failsWith = null;
      stores.old.rows.clear();
      stores.new.rows.clear();
    }
    const second = writes[1];
    expect(await here.repairs()).toEqual(
      second === undefined
        ? []
        : [{ key: `k-${second}`, side: second, error_class: '23505', failures: '1', attempts: 0 }],
    );
    expect(names.status().counts.repairsQueued).toBe(second === undefined ? 0 : 1);
    expect(JSON.stringify(names.status()) + names.metrics.text()).not.toContain('4711');
  });
});

test('a failure that the ledger cannot take is told: the write is on one side only', async () => {
  const here = place();
  await here.setStage('live');
  const away = { is: false };
  const ledger = {
    query: (text: string, values: unknown[]) =>
      away.is ? Promise.reject(sqlError('ECONNREFUSED')) : here.pool.query(text, values),
  };
  const { names, stores } = switchAt(here, { ledger });
  await names.ready();
  away.is = true;
  stores.old.failsWith = sqlError('40001');
  const refused = await names.write('k', 'b').catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(SwitchError);
  expect(refused).toMatchObject({ code: 'RepairNotQueued', written: 'new', cause: stores.old.failsWith });
  expect(stores.new.rows.get('k')).toEqual(['b']);
  away.is = false;
});

test('an authoritative write that may have been made all the same is repaired to whatever it left', async () => {
  const here = place();
  await here.setStage('shadow');
  const { names, stores } = switchAt(here);
  stores.old.failsWith = sqlError('08006');
  await expect(names.write('k', 'b')).rejects.toBe(stores.old.failsWith);
  stores.old.failsWith = sqlError('23514');
  await expect(names.write('l', 'b')).rejects.toBe(stores.old.failsWith);
  expect(await here.repairs()).toMatchObject([{ key: 'k', side: 'new', error_class: '08006' }]);
});

test('plain functions make a switch that only reads, results of two shapes are compared when cleaned', async () => {
  const names = createSwitch({
    flag: 'names',
    old: (id: number) => ({ full: `Ana ${id}` }),
    new: (id: number) => Promise.resolve({ given: 'Ana', family: String(id) }),
    clean: { old: (name) => name.full, new: (name) => `${name.given} ${name.family}` },
    ignore: (_old, fresh) => fresh.family === '3',
    compare: (old: string, fresh: string) => old === fresh && !old.endsWith('2') && !old.endsWith('3'),
    minimumStage: 'shadow',
    sample: 1,
  });
  onTestFinished(() => names.close());
  const full: { full: string } | { given: string; family: string } = await names.read(1);
  expect(full).toEqual({ full: 'Ana 1' });
  await names.read(2);
  await names.read(3);
  await until(() => names.status().counts.compared === 3);
  expect(names.status().counts).toMatchObject({ mismatches: 1, old: { calls: 3, units: 3 } });
});

test.each([
  [{ flag: '' }, /`flag`/],
  [{ new: () => 1 }, /`new`/],
  [{ new: { read: () => 1 } }, /`new`.*`write` is missing/],
  [{ key: undefined }, /`key`/],
  [{ on: 'lively' }, /`on`/],
  [{ sample: 2 }, /`sample`/],
  [{ service: undefined, ledger: { query: () => null } }, /`service`/],
  [{ beatMs: 5_000, leaseMs: 6_000 }, /`leaseMs`/],
  [{ leaseLost: 'perhaps' }, /`leaseLost`/],
])('wrong options are refused by name: %o', (wrong, message) => {
  const side = { read: () => 1, write: () => 1 };
  const options = { flag: 'names', old: side, new: side, key: () => 'k', ...wrong };
  expect(() => createSwitch(options as never)).toThrow(message);
});
