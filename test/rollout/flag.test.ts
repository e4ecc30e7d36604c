import { Unleash as Client } from 'unleash-client';
import { describe, expect, onTestFinished, test } from 'vitest';
import { flag } from '../../src/activities/flag.ts';
import { FlagChange } from '../../src/activities/flag-change.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import { differences, withPercent } from '../../src/adapters/unleash/flag-state.ts';
import { type FlagRef, Unleash } from '../../src/adapters/unleash/unleash.ts';
import { servers } from '../harness/servers.ts';
import { adminOf } from '../harness/unleash-servers.ts';
import { inputOf, type Room, room, unique, unreliableUnleash } from './room.ts';

const signal = new AbortController().signal;
const refOf = (name: string): FlagRef => ({
  project: 'default',
  environment: 'development',
  flag: name,
  type: 'release',
  description: '',
});
const stepOf = (name: string, state: Record<string, unknown>, id = 'set') => ({
  uses: 'flag' as const,
  id,
  flag: name,
  ...state,
});
const percentOf = async ({ unleash }: Room, name: string): Promise<string | null> => {
  const state = await unleash.read(refOf(name), signal);
  const active = state.strategies.filter((strategy) => !strategy.disabled);
  return state.enabled && active.length === 1 ? (active[0]?.parameters['rollout'] ?? null) : null;
};
/** Somebody else lets `percent` in, past the engine. */
const meddle = async ({ unleash }: Room, name: string, percent: number): Promise<void> => {
  const state = await unleash.read(refOf(name), signal);
  await unleash.write(
    refOf(name),
    withPercent(state, percent, { title: 'by hand', groupId: name, stickiness: 'default' }),
    signal,
  );
};
/** The number of what Unleash serves to clients of `development`. */
const servedRevision = async (): Promise<number> => {
  const { url, clientToken } = servers().unleash;
  const response = await fetch(`${url}/api/client/features`, { headers: { authorization: clientToken } });
  return ((await response.json()) as { meta: { revisionId: number } }).meta.revisionId;
};
const admin = (method: string, path: string, body?: unknown): Promise<unknown> =>
  adminOf(servers().unleash, method, `/projects/default/features${path === '' ? '' : `/${path}`}`, body);
const stateOf = async ({ deps, run }: Room, step: string) =>
  (await new StepLedger(deps.home.database).read({ run, step }))?.state;

/**
 * The users of 0 … 999 whom a client of Unleash lets in, as soon as they are about `percent` of them: Unleash answers
 * clients from a cache of a second.
 *
 * Unleash numbers what it serves by its newest event. Of two changes at once (other test files make some) the one with
 * the lower number can be committed last, and then clients see it with the next change only: so the flag is nudged.
 */
async function letIn(here: Room, name: string, percent: number): Promise<number[]> {
  const { url, clientToken } = servers().unleash;
  const client = new Client({
    url: `${url}/api`,
    appName: unique('app'),
    customHeaders: { Authorization: clientToken },
    refreshInterval: 200,
    disableMetrics: true,
    skipInstanceCountWarning: true,
  });
  onTestFinished(() => client.destroy());
  const asWished = new Promise<number[]>((resolve, reject) => {
    const look = () => {
      const users = Array.from({ length: 1000 }, (_, user) => user);
      const seen = users.filter((user) => client.isEnabled(name, { userId: String(user) }));
      if (Math.abs(seen.length / 10 - percent) < (percent % 100 === 0 ? 0.01 : 5)) resolve(seen);
    };
    client.on('error', reject).on('synchronized', look).on('changed', look);
  });
  const nudges = setInterval(() => void here.unleash.nudge(refOf(name), signal).catch(() => undefined), NUDGE_EVERY_MS);
  return asWished.finally(() => clearInterval(nudges));
}
const NUDGE_EVERY_MS = 3_000;

describe('flag', () => {
  test('sets a percentage that clients see, and leaves no flag behind when it is undone', async () => {
    const here = await room();
    const name = unique('flag');
    const input = inputOf(here.run, stepOf(name, { percent: 25 }), { stickiness: 'userId' });
    expect(await flag.up(input, here.context())).toMatchObject({ note: `flag ${name} in development: 25 %` });
    expect(await stateOf(here, 'set')).toBe('applied');
    await letIn(here, name, 25);
    expect(await flag.down(input, here.context())).toMatchObject({ note: `flag ${name} in development is as it was` });
    expect((await here.unleash.read(refOf(name), signal)).exists).toBe(false);
    expect(await stateOf(here, 'set')).toBe('undone');
  });

  test('undoing ends only when clients have seen the flag, and a restart waits for what is left of that', async () => {
    const here = await room();
    const name = unique('flag');
    const input = inputOf(here.run, stepOf(name, { percent: 25 }), { propagation: '1h' });
    await flag.up(input, here.context());
    const killed = new AbortController();
    const undoing = flag.down(input, here.context({ signal: killed.signal }));
    await here.reported((report) => report.note?.includes('clients see it within') === true);
    expect((await here.unleash.read(refOf(name), signal)).exists).toBe(false);
    killed.abort(new Error('the worker dies'));
    await expect(undoing).rejects.toThrow('the worker dies');
    // The flag is as it was, but the step isn't undone: a run that goes on would take the columns away.
    expect(await stateOf(here, 'set')).toBe('applied');
    await here.deps.home.database.query(
      "UPDATE switchback.flag_states SET restored_at = clock_timestamp() - interval '1 hour'",
    );
    await flag.down(input, here.context());
    expect(await stateOf(here, 'set')).toBe('undone');
  });

  test('who is let in stays in when the percentage rises, and nobody is when the flag is off', async () => {
    const here = await room();
    const name = unique('flag');
    const set = async (id: string, state: Record<string, unknown>, percent: number) => {
      await flag.up(inputOf(here.run, stepOf(name, state, id), { stickiness: 'userId' }), here.context());
      return letIn(here, name, percent);
    };
    const few = await set('few', { percent: 10 }, 10);
    const more = await set('more', { percent: 50 }, 50);
    expect(more).toEqual(expect.arrayContaining(few));
    await set('off', { enabled: false }, 0);
    expect(await set('on', { enabled: true }, 50)).toEqual(more);
  });

  test('a variant reaches those who see the flag', async () => {
    const here = await room();
    const name = unique('flag');
    await flag.up(inputOf(here.run, stepOf(name, { variant: { name: 'new-path', percent: 100 } })), here.context());
    const state = await here.unleash.read(refOf(name), signal);
    expect(state.strategies[0]?.variants).toMatchObject([{ name: 'new-path', weight: 1000 }]);
  });

  test('up and down again and again are one effect each', async () => {
    const here = await room();
    const name = unique('flag');
    await meddle(here, name, 60);
    const before = await here.unleash.read(refOf(name), signal);
    const input = inputOf(here.run, stepOf(name, { percent: 25 }));
    for (let i = 0; i < 3; i++) await flag.up(input, here.context());
    expect(await percentOf(here, name)).toBe('25');
    for (let i = 0; i < 3; i++) await flag.down(input, here.context());
    expect(await here.unleash.read(refOf(name), signal)).toEqual(before);
  });

  test('two workers that do the same at once make one change, both ways', async () => {
    const here = await room();
    const name = unique('flag');
    const input = inputOf(here.run, stepOf(name, { percent: 25 }));
    const twice = (work: () => Promise<unknown>) => Promise.all([work(), work()]);
    await twice(() => flag.up(input, here.context()));
    const { strategies } = await here.unleash.read(refOf(name), signal);
    expect(strategies.map(({ parameters }) => parameters['rollout'])).toEqual(['25']);
    await twice(() => flag.down(input, here.context()));
    expect((await here.unleash.read(refOf(name), signal)).exists).toBe(false);
  });

  test('several steps on one flag are undone one after the other, each to what it found', async () => {
    const here = await room();
    const name = unique('flag');
    await meddle(here, name, 60);
    const before = await here.unleash.read(refOf(name), signal);
    const first = inputOf(here.run, stepOf(name, { percent: 5 }, 'first'));
    const second = inputOf(here.run, stepOf(name, { percent: 50 }, 'second'));
    await flag.up(first, here.context());
    await flag.up(second, here.context());
    await flag.down(second, here.context());
    expect(await percentOf(here, name)).toBe('5');
    await flag.down(first, here.context());
    expect(await here.unleash.read(refOf(name), signal)).toEqual(before);
  });

  test('undoing a step that never came to change the flag changes nothing', async () => {
    const here = await room();
    const name = unique('flag');
    await meddle(here, name, 60);
    const before = await here.unleash.read(refOf(name), signal);
    const answer = await flag.down(inputOf(here.run, stepOf(name, { percent: 25 })), here.context());
    expect(answer.note).toBe(`flag ${name} was not changed: nothing to undo`);
    expect(await here.unleash.read(refOf(name), signal)).toEqual(before);
  });

  const SIDES = ['before', 'after'] as const;
  /** A change to a flag that exists is two writes; to one that doesn't, and the way back, three and two. */
  const cuts = (counts: { there: number; absent: number }) =>
    (['there', 'absent'] as const).flatMap((given) =>
      SIDES.flatMap((side) => Array.from({ length: counts[given] }, (_, index) => ({ given, side, cutAt: index + 1 }))),
    );
  const cutting = async (here: Room, { side, cutAt }: { side: 'before' | 'after'; cutAt: number }) => {
    const proxy = await unreliableUnleash((count) => (count === cutAt ? side : null));
    return here.context({ unleash: new Unleash({ url: proxy.url, adminToken: servers().unleash.adminToken }) });
  };
  const prepared = async (given: 'there' | 'absent') => {
    const here = await room();
    const name = unique('flag');
    if (given === 'there') await meddle(here, name, 60);
    const before = await here.unleash.read(refOf(name), signal);
    return { here, name, before, input: inputOf(here.run, stepOf(name, { percent: 25 })) };
  };
  const cutOff = { code: 'UnleashUnreachable', retry: true };

  test.each(cuts({ there: 2, absent: 3 }))('up, cut off ($given, $side write $cutAt), is finished', async (cut) => {
    const { here, name, before, input } = await prepared(cut.given);
    await expect(flag.up(input, await cutting(here, cut))).rejects.toMatchObject(cutOff);
    await flag.up(input, here.context());
    expect(await percentOf(here, name)).toBe('25');
    await flag.down(input, here.context());
    expect(differences(before, await here.unleash.read(refOf(name), signal))).toEqual([]);
  });

  test.each(cuts({ there: 2, absent: 3 }))('up, cut off ($given, $side write $cutAt), is undone whole', async (cut) => {
    const { here, name, before, input } = await prepared(cut.given);
    await expect(flag.up(input, await cutting(here, cut))).rejects.toMatchObject(cutOff);
    await flag.down(input, here.context());
    expect(differences(before, await here.unleash.read(refOf(name), signal))).toEqual([]);
  });

  test.each(cuts({ there: 2, absent: 2 }))('down, cut off ($given, $side write $cutAt), goes on', async (cut) => {
    const { here, name, before, input } = await prepared(cut.given);
    await flag.up(input, here.context());
    await expect(flag.down(input, await cutting(here, cut))).rejects.toMatchObject(cutOff);
    await flag.down(input, here.context());
    expect(differences(before, await here.unleash.read(refOf(name), signal))).toEqual([]);
  });

  test("someone else's change stops it both ways, saying what differs", async () => {
    const here = await room();
    const name = unique('flag');
    const input = inputOf(here.run, stepOf(name, { percent: 25 }));
    await flag.up(input, here.context());
    await meddle(here, name, 60);
    const changed = {
      code: 'FlagChanged',
      retry: false,
      fields: { flag: name, hold: true },
      message: expect.stringContaining('"by hand" (flexibleRollout) was added'),
    };
    await expect(flag.up(input, here.context())).rejects.toMatchObject(changed);
    await expect(
      flag.up(inputOf(here.run, stepOf(name, { percent: 50 }, 'next')), here.context()),
    ).rejects.toMatchObject(changed);
    await expect(flag.down(input, here.context())).rejects.toMatchObject(changed);
    expect(await percentOf(here, name)).toBe('60');
  });

  test('a flag that someone switched off in an emergency is no reason not to restore a state that is off', async () => {
    const here = await room();
    const name = unique('flag');
    const input = inputOf(here.run, stepOf(name, { percent: 25 }));
    await flag.up(input, here.context());
    await here.unleash.write(
      refOf(name),
      { ...(await here.unleash.read(refOf(name), signal)), enabled: false },
      signal,
    );
    await expect(flag.up(input, here.context())).rejects.toMatchObject({ code: 'FlagChanged' });
    await flag.down(input, here.context());
    expect((await here.unleash.read(refOf(name), signal)).exists).toBe(false);
  });

  test('a worker whose run was taken over stops without touching the flag', async () => {
    const here = await room();
    const name = unique('flag');
    const newer = await here.raise();
    const step = stepOf(name, { percent: 25 });
    await expect(flag.up(inputOf(here.run, step), here.context())).rejects.toMatchObject({ code: 'Fenced' });
    expect((await here.unleash.read(refOf(name), signal)).exists).toBe(false);
    await flag.up(inputOf(newer, step), here.context());
    expect(await percentOf(here, name)).toBe('25');
  });

  test('lets nobody in while a flag that it depends on keeps them out, and says which', async () => {
    const here = await room();
    const [name, parent] = [unique('flag'), unique('parent')];
    await meddle(here, name, 10);
    await meddle(here, parent, 100);
    await admin('POST', `${name}/dependencies`, { feature: parent });
    await admin('POST', `${parent}/environments/development/off`);
    const before = await here.unleash.read(refOf(name), signal);
    const input = inputOf(here.run, stepOf(name, { percent: 25 }));
    const unseen = {
      code: 'FlagUnseen',
      retry: false,
      fields: { hold: true },
      message: `flag "${name}" depends on "${parent}", which is off in environment development: nobody would see it`,
    };
    await expect(flag.up(input, here.context())).rejects.toMatchObject(unseen);
    expect(await here.unleash.read(refOf(name), signal)).toEqual(before);
    // Taking exposure away needs nobody's leave, nor does a stage, where the row decides.
    for (const less of [{ percent: 5 }, { variant: { name: 'dual-write', percent: 100 } }, { enabled: false }]) {
      await flag.up(inputOf(here.run, stepOf(name, less, 'other')), here.context());
    }
    await flag.down(inputOf(here.run, stepOf(name, { enabled: false }, 'other')), here.context());
    await admin('POST', `${parent}/environments/development/on`);
    await flag.up(input, here.context());
    await new FlagChange(input, here.context()).assertUnchanged();
    await admin('POST', `${parent}/environments/development/off`);
    await expect(new FlagChange(input, here.context()).assertUnchanged()).rejects.toMatchObject(unseen);
    await flag.down(input, here.context());
    expect(await here.unleash.read(refOf(name), signal)).toEqual(before);
  });

  test('a flag that somebody creates while the step is about to is not taken over', async () => {
    const here = await room();
    const name = unique('flag');
    const proxy = await unreliableUnleash((count) => (count === 1 ? 'before' : null));
    const unleash = new Unleash({ url: proxy.url, adminToken: servers().unleash.adminToken });
    const input = inputOf(here.run, stepOf(name, { percent: 25 }));
    await expect(flag.up(input, here.context({ unleash }))).rejects.toMatchObject({ code: 'UnleashUnreachable' });
    await admin('POST', '', { name, type: 'release' });
    const changed = { code: 'FlagChanged', message: expect.stringContaining('somebody else created it') };
    await expect(flag.up(input, here.context())).rejects.toMatchObject(changed);
    await expect(flag.down(input, here.context())).rejects.toMatchObject(changed);
    expect(await here.unleash.read(refOf(name), signal)).toMatchObject({ exists: true, strategies: [] });
  });

  test('a nudge makes Unleash serve the flag anew and changes nothing, and stops as every write does', async () => {
    const here = await room();
    const name = unique('flag');
    const input = inputOf(here.run, stepOf(name, { percent: 25 }));
    const change = new FlagChange(input, here.context());
    expect(await change.nudge()).toBe(false);
    await flag.up(input, here.context());
    const before = await here.unleash.read(refOf(name), signal);
    const served = await servedRevision();
    expect([await change.nudge(), await change.nudge()]).toEqual([true, true]);
    expect(await here.unleash.read(refOf(name), signal)).toEqual(before);
    await expect.poll(servedRevision, { timeout: 30_000 }).toBeGreaterThan(served);
    await meddle(here, name, 60);
    await expect(change.nudge()).rejects.toMatchObject({ code: 'FlagChanged' });
    await here.raise();
    await expect(change.nudge()).rejects.toMatchObject({ code: 'Fenced' });
  });

  test('what was restored can be nudged; what is gone can not', async () => {
    const here = await room();
    const [there, absent] = [unique('flag'), unique('flag')];
    await meddle(here, there, 60);
    const before = await here.unleash.read(refOf(there), signal);
    const nudged = [];
    for (const [name, id] of [
      [there, 'one'],
      [absent, 'two'],
    ] as const) {
      const input = inputOf(here.run, stepOf(name, { percent: 25 }, id));
      await flag.up(input, here.context());
      await flag.down(input, here.context());
      nudged.push(await new FlagChange(input, here.context()).nudge());
    }
    expect(nudged).toEqual([true, false]);
    expect(await here.unleash.read(refOf(there), signal)).toEqual(before);
  });

  test('what Unleash would round is refused', async () => {
    const here = await room();
    await expect(flag.up(inputOf(here.run, stepOf('f', { percent: 0.5 })), here.context())).rejects.toMatchObject({
      code: 'FlagRefused',
      hint: 'write 0 or 1',
    });
  });
});
