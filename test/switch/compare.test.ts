import { expect, onTestFinished, test } from 'vitest';
import { createSwitch, type Mismatch } from '../../src/switch/index.ts';
import { sqlError, Store, until } from './place.ts';

/** Without a ledger the minimum is the stage. */
function switchOf(options: object = {}, stores = { old: new Store('old'), new: new Store('new') }) {
  const order: string[] = [];
  for (const name of ['old', 'new'] as const) stores[name].log.push = () => order.push(name);
  const names = createSwitch({
    ...{ flag: 'names', ...stores, key: (key: string) => key, minimumStage: 'shadow' as const, sample: 1 },
    ...options,
  });
  onTestFinished(() => names.close());
  return { names, stores, order };
}
const plain = { clean: { old: (text: string) => text.slice(4), new: (text: string) => text.slice(4) } };

test('one read in ten is compared, the first side by chance', async () => {
  const random = { calls: 0, values: [] as number[] };
  const numbers = (): number => random.values.shift() ?? 0.99;
  const { names, order } = switchOf({ sample: undefined, random: numbers });
  random.values = [0.1, 0.09, 0.4, 0.099, 0.6];
  await names.read('a');
  expect(order.splice(0)).toEqual(['old']);
  await names.read('b');
  expect(order.splice(0)).toEqual(['new', 'old']);
  await names.read('c');
  expect(order.splice(0)).toEqual(['old', 'new']);
});

test('the caller is answered when the authoritative side is; what the other does reaches nobody', async () => {
  const { names, stores } = switchOf({ ...plain, shadowTimeoutMs: 60_000 });
  const release = stores.new.hold();
  expect(await names.read('k')).toBe('old:');
  expect(names.status().counts).toMatchObject({ compared: 0, new: { calls: 0 } });
  release();
  await until(() => names.status().counts.compared === 1);
  stores.new.failsWith = sqlError('42P01');
  expect(await names.read('k')).toBe('old:');
  await until(() => names.status().counts.new.errors === 1);
  expect(names.status().counts).toMatchObject({ compared: 1, mismatches: 0, old: { errors: 0 } });
  stores.new.failsWith = null;
  stores.old.failsWith = sqlError('40001');
  await expect(names.read('k')).rejects.toBe(stores.old.failsWith);
  expect(names.status().counts.compared).toBe(1);
});

test('a compared read that takes too long has failed, and its own end is only counted as late', async () => {
  const { names, stores } = switchOf({ shadowTimeoutMs: 20 });
  const count = (name: string): number =>
    Number(new RegExp(`switchback_switch_${name}_total\\{.*\\} (\\d+)`).exec(names.metrics.text())?.[1]);
  const release = stores.new.hold();
  stores.new.failsWith = sqlError('57014');
  await names.read('k');
  await until(() => count('shadow_timeouts') === 1);
  expect(names.status().counts).toMatchObject({ compared: 0, new: { calls: 1, errors: 1 } });
  release();
  await until(() => count('shadow_late') === 1);
  expect(names.status().counts.new).toMatchObject({ calls: 1, errors: 1 });
});

test('mismatches say which key, and never a value; what callers do with their answer is not compared', async () => {
  const seen: Mismatch[] = [];
  const stores = {
    old: { read: async (id: number) => ({ id, tags: ['secret'] }), write: async (_id: number) => undefined },
    new: {
      read: async (id: number) => ({ id, tags: id === 2 ? [] : ['secret'] }),
      write: async (_id: number) => undefined,
    },
  };
  const copy = (of: { tags: string[] }): string => of.tags.join(',');
  const names = createSwitch({
    ...{ flag: 'names', ...stores, key: (id: number) => id, minimumStage: 'live', sample: 1 },
    clean: { old: copy, new: copy },
    onMismatch: (mismatch) => seen.push(mismatch),
    random: () => 0,
  });
  onTestFinished(() => names.close());
  for (const id of [1, 2]) {
    const answer = await names.read(id);
    answer.tags.length = 0;
  }
  await until(() => names.status().counts.compared === 2);
  expect(seen).toEqual([{ flag: 'names', stage: 'live', key: '2' }]);
  expect(names.metrics.text() + JSON.stringify(names.status())).not.toContain('secret');
});

test('a comparison that throws is counted, and the caller has the answer', async () => {
  const broken = (): never => {
    throw new Error('broken');
  };
  for (const options of [{ compare: broken }, { clean: { old: broken } }, { compare: () => false, ignore: broken }]) {
    const { names } = switchOf(options);
    expect(await names.read('k')).toBe('old:');
    await until(() => /comparison_errors_total\{.*\} 1\n/.test(names.metrics.text()));
  }
});

test('sides that answer or throw at once, without a promise, are promises all the same', async () => {
  const refused = new Error('no');
  const names = createSwitch({
    flag: 'names',
    old: (id: number) => {
      if (id === 0) throw refused;
      return id;
    },
    new: (id: number) => {
      if (id === 1) throw refused;
      return id;
    },
    minimumStage: 'shadow',
    sample: 1,
  });
  onTestFinished(() => names.close());
  expect([await names.read(1), await names.read(2)]).toEqual([1, 2]);
  await expect(names.read(0)).rejects.toBe(refused);
  await until(() => names.status().counts.compared === 1);
  expect(names.status().counts).toMatchObject({ old: { calls: 3, errors: 1 }, new: { calls: 3, errors: 1 } });
});
