import { InMemoryProvider, OpenFeature } from '@openfeature/server-sdk';
import { InMemStorageProvider, Unleash as Client } from 'unleash-client';
import { describe, expect, onTestFinished, test } from 'vitest';
import { exposureOf as engineExposureOf, withPercent, withVariant } from '../../src/adapters/unleash/flag-state.ts';
import { type FlagRef, Unleash } from '../../src/adapters/unleash/unleash.ts';
import { createSwitch, fromOpenFeature, type Stage, type UnleashClient } from '../../src/switch/index.ts';
import { servers } from '../harness/servers.ts';
import { closedPort, unique } from '../rollout/room.ts';
import { BEATS, ledgerOfFile, type Place, Store, until } from './place.ts';

const place = ledgerOfFile();
const signal = new AbortController().signal;
const USERS = Array.from({ length: 60 }, (_, n) => `user-${n}`);
/** Of two changes at once a client may see one with the next change only: so there is always a next one. */
const ANOTHER_CHANGE_MS = 2_500;

function admin() {
  const { url, adminToken } = servers().unleash;
  const unleash = new Unleash({ url, adminToken });
  const refOf = (flag: string): FlagRef => ({
    ...{ project: 'default', environment: 'development', flag, type: 'release', description: '' },
  });
  const set = async (flag: string, to: { percent: number } | { stage: Stage }): Promise<number> => {
    const our = { title: 'test', groupId: flag, stickiness: 'userId' };
    const state = await unleash.read(refOf(flag), signal);
    const target =
      'percent' in to
        ? withPercent({ ...state, strategies: [] }, to.percent, our)
        : withVariant({ ...state, strategies: [] }, { name: to.stage, percent: 100 }, our);
    await unleash.write(refOf(flag), target, signal);
    return engineExposureOf(target);
  };
  const another = setInterval(
    () => void set(unique('another'), { percent: 1 }).catch(() => undefined),
    ANOTHER_CHANGE_MS,
  );
  onTestFinished(() => clearInterval(another));
  return { set };
}

function client(options: { url?: string; refreshInterval?: number; metricsInterval?: number } = {}): Client {
  const { url, clientToken } = servers().unleash;
  const unleash = new Client({
    ...{ url: `${url}/api`, appName: unique('app'), customHeaders: { Authorization: clientToken } },
    ...{ refreshInterval: 200, disableMetrics: options.metricsInterval === undefined, skipInstanceCountWarning: true },
    ...options,
    storageProvider: new InMemStorageProvider(),
  });
  unleash.on('error', () => undefined).on('warn', () => undefined);
  onTestFinished(() => unleash.destroy());
  return unleash;
}

/** Which side a service reads for each user, and the sides of its writes. */
function service(flag: string, options: object) {
  const stores = { old: new Store('old'), new: new Store('new') };
  const names = createSwitch({ flag, ...stores, key: (key: string) => key, sample: 0, ...BEATS, ...options });
  onTestFinished(() => names.close());
  const sideOf = async (user: string): Promise<string> => (await names.read(user)).split(':')[0] ?? '';
  return { names, stores, sideOf };
}
const withLedger = (here: Place): object => ({ ledger: here.pool, service: 'accounts' });

describe('Unleash', () => {
  test('who is let in acts above the row, the others on it; instances say how many are let in', async () => {
    const here = place();
    await here.setStage('dual-write');
    const { set } = admin();
    const exposure = await set(here.flag, { percent: 40 });
    const unleash = client();
    // The lease is renewed rarely: what is told in time is told because the flag has changed.
    const { names, stores, sideOf } = service(here.flag, {
      ...withLedger(here),
      unleash,
      beatMs: 60_000,
      leaseMs: 180_000,
    });
    const said = (percent: number) =>
      until(async () => (await here.instances()).every((row) => row.exposure === percent));
    await names.ready();
    await said(exposure);
    expect(exposure).toBe(40);
    const sides = await Promise.all(USERS.map(sideOf));
    expect(sides).toEqual(USERS.map((userId) => (unleash.isEnabled(here.flag, { userId }) ? 'new' : 'old')));
    expect(new Set(sides).size).toBe(2);
    const lucky = USERS[sides.indexOf('new')] ?? '';
    expect(await names.write(lucky, 'a')).toBe('new has a');
    expect(await names.with({ userId: lucky }).read('somebody')).toBe('new:');
    expect([names.stage(), stores.old.rows.get(lucky)]).toEqual(['dual-write', ['a']]);
    await set(here.flag, { percent: 0 });
    await said(0);
    expect(await sideOf(lucky)).toBe('old');
  });

  test('the row decides where the variant names another stage; without a ledger the variant is the stage', async () => {
    const here = place();
    await here.setStage('shadow');
    const { set } = admin();
    expect(await set(here.flag, { stage: 'ramp-down' })).toBe(100);
    const unleash = client();
    const withRow = service(here.flag, { ...withLedger(here), unleash });
    const without = service(here.flag, { unleash, minimumStage: 'dual-write', bootstrap: 'live' });
    expect([without.names.stage(), await without.sideOf('u')]).toEqual(['live', 'new']);
    await until(() => unleash.isSynchronized() && unleash.isEnabled(here.flag, { userId: 'u' }));
    await withRow.names.ready();
    expect([await withRow.sideOf('u'), withRow.names.status().exposure]).toEqual(['old', 100]);
    await without.names.write('u', 'a');
    expect(without.stores.new.log).toContain('write u');
    expect([without.names.stage(), await without.sideOf('u')]).toEqual(['dual-write', 'new']);
    await set(here.flag, { percent: 0 });
    await until(async () => (await without.sideOf('u')) === 'old');
    await without.names.write('v', 'a');
    expect([...without.stores.new.rows.keys(), ...without.stores.old.rows.keys()]).toEqual(['u', 'v', 'u', 'v']);
  });

  test('Unleash away: the row counts, or the bootstrap', async () => {
    const here = place();
    await here.setStage('ramp-down');
    // It tries once, and what becomes of that is waited for: a client that is destroyed meanwhile lets its error escape.
    const url = `http://127.0.0.1:${await closedPort()}/api`;
    const unleash = client({ url, refreshInterval: 3_600_000, metricsInterval: 3_600_000 });
    const failed = new Promise<void>((resolve) => {
      unleash.on('error', (error: Error) => error.message.includes('/client/features') && resolve());
    });
    const withRow = service(here.flag, { ...withLedger(here), unleash });
    const used: [string, boolean][] = [];
    unleash.on('count', (name: string, enabled: boolean) => used.push([name, enabled]));
    expect(await withRow.sideOf('u')).toBe('new');
    // The flag wasn't asked, and its usage says all the same which path was taken.
    expect(used).toEqual([[here.flag, true]]);
    expect((await here.instances()).map(({ exposure, stage }) => [exposure, stage])).toEqual([[0, 'ramp-down']]);
    const cold = service(here.flag, { unleash, bootstrap: 'complete' });
    expect(await cold.sideOf('u')).toBe('new');
    await failed;
  });

  test('our idea of its client is what it is', () => {
    const ours: UnleashClient = client();
    expect(typeof ours.getVariant).toBe('function');
  });
});

describe('OpenFeature', () => {
  const flagFor = (users: readonly string[], variants: Record<string, unknown>) => ({
    ...{ variants, defaultVariant: 'off', disabled: false },
    contextEvaluator: ({ targetingKey }: { targetingKey?: string }) =>
      users.includes(targetingKey ?? '') ? Object.keys(variants)[1] : 'off',
  });
  async function provider(config: Record<string, object>) {
    const domain = unique('domain');
    const memory = new InMemoryProvider(config as never);
    await OpenFeature.setProviderAndWait(domain, memory);
    onTestFinished(() => OpenFeature.close());
    return { memory, flags: OpenFeature.getClient(domain) };
  }

  test('a provider lets users in, and the row says the stage', async () => {
    const here = place();
    await here.setStage('shadow');
    const { memory, flags } = await provider({ [here.flag]: flagFor(['u'], { off: false, on: true }) });
    const { names, sideOf } = service(here.flag, { ...withLedger(here), flags: fromOpenFeature(flags) });
    expect([await sideOf('u'), await sideOf('v')]).toEqual(['new', 'old']);
    expect(await names.write('u', 'a')).toBe('new has a');
    expect(await here.instances()).toMatchObject([{ exposure: 100 }]);
    memory.putConfiguration({ [here.flag]: flagFor(['v'], { off: false, on: true }) } as never);
    expect([await sideOf('u'), await sideOf('v')]).toEqual(['old', 'new']);
    memory.putConfiguration({});
    expect(await sideOf('v')).toBe('old');
  });

  test('a variant, or a string flag, may name the stage', async () => {
    const flag = unique('flag');
    const { flags } = await provider({
      [flag]: flagFor(['u'], { off: false, complete: true }),
      [`${flag}-text`]: { ...flagFor(['u'], { off: '', any: 'shadow' }) },
    });
    const boolean = service(flag, { flags: fromOpenFeature(flags) });
    expect(await boolean.names.write('u', 'a')).toBe('new has a');
    expect(await boolean.names.write('v', 'a')).toBe('old has a');
    expect([...boolean.stores.new.rows.keys(), ...boolean.stores.old.rows.keys()]).toEqual(['u', 'v']);
    const text = service(`${flag}-text`, { flags: fromOpenFeature(flags, { as: 'string' }) });
    expect(await text.names.write('u', 'a')).toBe('old has a');
    expect([...text.stores.new.rows.keys()]).toEqual(['u']);
  });
});
