import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { createSwitch } from '../../src/switch/index.ts';
import { lineTo } from '../harness/line.ts';
import { BEATS, ledgerOfFile, type Place, poolOf, sqlError, Store, until } from './place.ts';

const place = ledgerOfFile();

function service(here: Place, options: object = {}) {
  const stores = { old: new Store('old'), new: new Store('new') };
  const names = createSwitch({
    ...{ flag: here.flag, ...stores, key: (key: string) => key, sample: 0, ledger: here.pool, service: 'accounts' },
    ...{ ...BEATS, ...options },
  });
  onTestFinished(() => names.close());
  return { names, stores };
}

test('every instance says what it acts on: at once after a change, and no more when it is closed', async () => {
  const here = place();
  await here.setStage('off');
  const services = [service(here), service(here, { instance: 'accounts-2' }), service(here, { beatMs: 4_000 })];
  await Promise.all(services.map(({ names }) => names.ready()));
  expect(await here.instances()).toHaveLength(3);
  const generation = await here.setStage('dual-write');
  const alive = await here.acknowledged(generation);
  expect(alive.map(({ stage, service: of }) => [stage, of])).toEqual([1, 2, 3].map(() => ['dual-write', 'accounts']));
  expect(alive.some(({ instance }) => instance.startsWith('accounts-2-'))).toBe(true);
  await services[0]?.names.close();
  expect(await here.instances()).toHaveLength(2);
  await expect(services[0]?.names.read('k')).rejects.toMatchObject({ code: 'Closed' });
});

test('a change is acknowledged when the calls that began before it have ended, and they end as they began', async () => {
  const here = place();
  await here.setStage('off');
  const { names, stores } = service(here);
  await names.ready();
  const release = stores.old.hold();
  const write = names.write('k', 'a');
  const generation = await here.setStage('dual-write');
  await until(() => names.stage() === 'dual-write');
  const early = names.write('l', 'b');
  const told = names.status().counts.old.calls;
  // Beats go on, and go on telling the stage that a call still acts on.
  await until(async () => {
    const [row] = await here.instances();
    return Number(row?.counts['beat']) > 6 + told && row;
  });
  expect(await here.instances()).toMatchObject([{ stage: 'off', generation: String(generation - 1) }]);
  expect(names.status()).toMatchObject({ inFlight: 2, generation, acknowledged: { generation: generation - 1 } });
  release();
  await Promise.all([write, early]);
  await here.acknowledged(generation);
  expect([stores.new.rows.get('k'), stores.new.rows.get('l')]).toEqual([undefined, ['b']]);
});

test('calls wait for the first answer of the ledger', async () => {
  const here = place();
  await here.setStage('complete');
  const line = await lineTo(here.url);
  line.hold();
  const { names, stores } = service(here, {
    ledger: poolOf(line.url),
    ledgerTimeoutMs: 20_000,
    startTimeoutMs: 20_000,
  });
  stores.new.rows.set('k', ['a']);
  const read = names.read('k');
  const write = names.write('l', 'b');
  expect(names.stage()).toBeNull();
  line.mend();
  expect(await read).toBe('new:a');
  expect(await write).toBe('new has b');
});

test('who comes is seen by an engine that changes the stage meanwhile', async () => {
  const here = place();
  await here.setStage('off');
  const pass = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  let queries = 0;
  const ledger = {
    async query(text: string, values: unknown[]) {
      const answer = await here.pool.query(text, values);
      queries += 1;
      if (queries > 1) return answer;
      asked.resolve();
      await pass.promise;
      return answer;
    },
  };
  const { names, stores } = service(here, { ledger });
  const write = names.write('k', 'a');
  await asked.promise;
  // The answer under way says `off`. The row is there already, so the engine waits for it, and it reads once more.
  const generation = await here.setStage('dual-write');
  expect(await here.instances()).toMatchObject([{ generation: '0' }]);
  pass.resolve();
  await write;
  await here.acknowledged(generation);
  expect(stores.new.rows.get('k')).toEqual(['a']);
});

test('ledger away: goes on at the last stage, refuses writes to one side when the lease has ended, and comes back', async () => {
  const here = place();
  await here.setStage('complete');
  const line = await lineTo(here.url);
  const options = { ledger: poolOf(line.url), beatMs: 50, leaseMs: 600, ledgerTimeoutMs: 20_000 };
  const [{ names, stores }, bold] = [service(here, options), service(here, { ...options, leaseLost: 'go-on' })];
  stores.new.rows.set('k', ['a']);
  await Promise.all([names.ready(), bold.names.ready()]);
  line.cut();
  await until(() => names.status().ledger.state === 'away' && !names.status().ledger.held);
  expect(await names.read('k')).toBe('new:a');
  expect(names.stage()).toBe('complete');
  await expect(names.write('k', 'b')).rejects.toMatchObject({ code: 'LeaseLost', written: null });
  expect(stores.new.log).not.toContain('write k');
  expect(await bold.names.write('k', 'b')).toBe('new has b');
  expect(names.metrics.text()).toMatch(/switchback_switch_lease_held\{.*\} 0\n/);
  // What the engine does meanwhile is read before the first write.
  const generation = await here.setStage('ramp-down');
  line.mend();
  await until(() => names.write('k', 'c').catch(() => null));
  expect([names.stage(), stores.old.rows.get('k')]).toEqual(['ramp-down', ['c']]);
  await here.acknowledged(generation);
});

test('writes to both sides go on without a lease, and tell when a failure can not be queued', async () => {
  const here = place();
  await here.setStage('shadow');
  const line = await lineTo(here.url);
  const options = { ledger: poolOf(line.url), beatMs: 50, leaseMs: 400, ledgerTimeoutMs: 20_000 };
  const { names, stores } = service(here, options);
  await names.ready();
  line.cut();
  await until(() => !names.status().ledger.held);
  expect(await names.write('k', 'a')).toBe('old has a');
  expect(stores.new.rows.get('k')).toEqual(['a']);
  stores.new.failsWith = sqlError('53300');
  await expect(names.write('k', 'b')).rejects.toMatchObject({ code: 'RepairNotQueued', written: 'old' });
});

test('cold start without a ledger: bootstrap and minimum stage, or a refusal; never below the minimum', async () => {
  const here = place();
  const line = await lineTo(here.url);
  line.cut();
  const ledger = poolOf(line.url);
  const cold = { ledger, ledgerTimeoutMs: 20_000, startTimeoutMs: 1, beatMs: 50, leaseMs: 5_000 };
  const blind = service(here, cold);
  await expect(blind.names.read('k')).rejects.toMatchObject({ code: 'StageUnknown' });
  const live = service(here, { ...cold, bootstrap: 'live', minimumStage: 'dual-write' });
  await live.names.write('k', 'a');
  expect([live.names.stage(), [...live.stores.old.rows.keys()]]).toEqual(['live', ['k']]);
  const done = service(here, { ...cold, minimumStage: 'complete' });
  expect(await done.names.read('k')).toBe('new:');
  await expect(done.names.write('k', 'a')).rejects.toMatchObject({ code: 'LeaseLost' });
  // The ledger comes: there is no row, so the minimum counts; then there is one below it, which nobody acknowledges.
  line.mend();
  await until(() => live.names.stage() === 'dual-write' && done.names.write('k', 'a').catch(() => null));
  await blind.names.read('k');
  const generation = await here.setStage('off');
  await until(() => live.names.status().aboveRow);
  expect(live.names.stage()).toBe('dual-write');
  expect(await here.instances()).not.toContainEqual(
    expect.objectContaining({ stage: 'dual-write', generation: String(generation) }),
  );
});

test('a write that outlives the lease is repaired where the stage asks for both sides by then', async () => {
  const here = place();
  await here.setStage('off');
  const line = await lineTo(here.url);
  const options = { ledger: poolOf(line.url), beatMs: 50, leaseMs: 400, ledgerTimeoutMs: 20_000 };
  const { names, stores } = service(here, options);
  await names.ready();
  const release = stores.old.hold();
  const write = names.write('k', 'a');
  await until(() => stores.old.log.length > 0);
  line.cut();
  await until(() => !names.status().ledger.held);
  await here.setStage('dual-write');
  line.mend();
  await until(() => names.stage() === 'dual-write');
  line.cut();
  await until(() => !names.status().ledger.held);
  line.mend();
  release();
  expect(await write).toBe('old has a');
  expect(await here.repairs()).toMatchObject([{ key: 'k', side: 'new', error_class: 'late' }]);
});

test('closing lets calls under way end, and they are told until then', async () => {
  const here = place();
  const generation = await here.setStage('off');
  const { names, stores } = service(here);
  await names.ready();
  const release = stores.old.hold();
  const write = names.write('k', 'a');
  await until(() => stores.old.log.length > 0);
  const closing = names.close();
  await expect(names.write('l', 'a')).rejects.toMatchObject({ code: 'Closed' });
  await here.setStage('dual-write');
  await until(() => names.status().generation > generation);
  expect(await here.instances()).toMatchObject([{ generation: String(generation) }]);
  release();
  await Promise.all([write, closing]);
  expect(await here.instances()).toEqual([]);
});

test('a write that a fence refuses is made again where the stage has changed', async () => {
  const here = place();
  await here.setStage('ramp-down');
  const { names, stores } = service(here, { beatMs: 4_000 });
  await names.ready();
  await here.setStage('complete');
  stores.old.failsWith = sqlError('SB001');
  expect(await names.write('k', 'a')).toBe('new has a');
  expect([names.stage(), await here.repairs()]).toEqual(['complete', []]);
  stores.new.failsWith = sqlError('SB001');
  await expect(names.write('k', 'b')).rejects.toBe(stores.new.failsWith);
  // Back at a stage whose writes begin at the old side, which is open again.
  await here.setStage('shadow');
  stores.old.failsWith = null;
  expect(await names.write('k', 'c')).toBe('old has c');
  expect(names.stage()).toBe('shadow');
});

test('an instance that was frozen for longer than its lease reads the stage before it writes', async () => {
  const here = place();
  await here.setStage('complete');
  const child = spawn(process.execPath, [join(import.meta.dirname, 'frozen-service.ts'), here.url, here.flag], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => JSON.parse(String((await lines.next()).value));
  expect(await next()).toEqual({ stage: 'complete' });
  child.kill('SIGSTOP');
  await until(async () => (await here.instances()).length === 0);
  await here.setStage('ramp-down');
  child.stdin.write('write\n');
  child.kill('SIGCONT');
  expect(await next()).toEqual({ stage: 'ramp-down', wrote: ['new', 'old'] });
});
