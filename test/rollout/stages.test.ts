import { describe, expect, test } from 'vitest';
import { flag } from '../../src/activities/flag.ts';
import { Exposure } from '../../src/activities/exposure.ts';
import { lowerTo } from '../../src/activities/lower-exposure.ts';
import { Positions } from '../../src/activities/rollout-position.ts';
import { createLiveCheck } from '../../src/activities/live-check.ts';
import { rollout } from '../../src/activities/rollout.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import { Stages } from '../../src/adapters/postgres/stages.ts';
import type { FlagRef } from '../../src/adapters/unleash/unleash.ts';
import { STAGES, type StepOf } from '../../src/plan/index.ts';
import { planOf } from '../harness/engine.ts';
import { acting, existing } from './acting.ts';
import { inputOf, type Room, room, unique } from './room.ts';

const signal = new AbortController().signal;
const refOf = (name: string): FlagRef => ({
  project: 'default',
  environment: 'development',
  flag: name,
  type: 'release',
  description: '',
});
const rowOf = (here: Room, name: string) =>
  new Stages(here.deps.home.database).read({ environment: 'development', flag: name });
const flagOf = async (here: Room, name: string) => {
  const state = await here.unleash.read(refOf(name), signal);
  const ours = state.strategies.find((strategy) => !strategy.disabled);
  return {
    percent: ours?.parameters['rollout'],
    variants: ours?.variants.map((one) => (one as { name: string }).name),
  };
};
const stageStep = (name: string, stage: string, more: Record<string, unknown> = {}) => ({
  uses: 'flag' as const,
  id: stage,
  flag: name,
  stage,
  ...more,
});

describe('a stage of a flag step', () => {
  test('sets the row and the flag, waits for every live instance, and is undone to what it found', async () => {
    const here = await room();
    const name = unique('flag');
    const [one, two] = [acting(here, refOf(name), 'i-1'), acting(here, refOf(name), 'i-2', 'billing')];
    await two.says({});
    one.follows();
    const input = inputOf(here.run, stageStep(name, 'dual-write'));
    const up = flag.up(input, here.context());
    await here.reported(({ note }) => note === `1 of 2 instances act on flag ${name}; waits for billing/i-2`);
    expect(here.reports.at(-1)?.progress).toMatchObject({ done: 1, total: 2 });
    expect(await rowOf(here, name)).toMatchObject({ stage: 'dual-write', generation: 1 });
    expect(await flagOf(here, name)).toEqual({ percent: '100', variants: ['dual-write'] });
    two.follows();
    const { note } = await up;
    expect(note).toMatch(
      new RegExp(
        `^the path of flag ${name} in development is at stage dual-write; 2 of 2 instances acted on it after \\d+\\.\\d s$`,
      ),
    );
    // Again, as after a lost answer: nothing changes.
    await flag.up(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'dual-write', generation: 1 });
    const undone = await flag.down(input, here.context());
    expect(undone.note).toMatch(
      /is as it was; 2 of 2 instances .*; its path is at stage off \(2 of 2 instances acted on it after /,
    );
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off', generation: 2 });
    expect((await here.unleash.read(refOf(name), signal)).exists).toBe(false);
    await flag.down(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off', generation: 2 });
  });

  test('who does not act on it by the time-out is named; whoever dies meanwhile is not waited for', async () => {
    const here = await room();
    const name = unique('flag');
    const [one, two] = [acting(here, refOf(name), 'i-1'), acting(here, refOf(name), 'i-2', 'billing')];
    one.follows();
    await two.says({});
    const input = inputOf(here.run, stageStep(name, 'dual-write', { acknowledge: { timeout: '1s' } }));
    await expect(flag.up(input, here.context())).rejects.toMatchObject({
      code: 'NotAcknowledged',
      fields: { hold: true, missing: 'billing/i-2' },
      message: expect.stringContaining('1 of 2 instances do not act'),
    });
    expect((await new StepLedger(here.deps.home.database).read({ run: here.run, step: 'dual-write' }))?.state).toBe(
      'intended',
    );
    await two.dies();
    expect((await flag.up(input, here.context())).note).toContain('1 of 1 instance acted on it');
  });

  test('no instance at all is no health, unless the plan says that none is needed', async () => {
    const here = await room();
    const name = unique('flag');
    const step = (required: unknown) => stageStep(name, 'dual-write', { acknowledge: { required, timeout: '1ms' } });
    await expect(flag.up(inputOf(here.run, step('all')), here.context())).rejects.toMatchObject({
      code: 'NotAcknowledged',
      message: expect.stringContaining(`no live instance of any service reports flag "${name}"`),
    });
    await acting(here, refOf(name), 'i-1').says({ generation: 1, exposure: 100 });
    await expect(flag.up(inputOf(here.run, step(2)), here.context())).rejects.toMatchObject({
      code: 'NotAcknowledged',
      message: expect.stringContaining('only 1 instance of at least 2'),
    });
    await acting(here, refOf(name), 'i-1').dies();
    expect((await flag.up(inputOf(here.run, step(0)), here.context())).note).toContain('no instance is live');
  });

  test('who goes by the row alone acts on a stage, and not on a share of the users', async () => {
    const here = await room();
    const name = unique('flag');
    const one = acting(here, refOf(name), 'i-1');
    await one.says({ generation: 2 });
    const [both, shadow] = ['dual-write', 'shadow'].map((stage) => inputOf(here.run, stageStep(name, stage)));
    if (both === undefined || shadow === undefined) throw new Error('no input');
    for (const input of [both, shadow]) await flag.up(input, here.context());
    const share = { uses: 'flag' as const, id: 'share', flag: name, percent: 5, acknowledge: { timeout: '1ms' } };
    await expect(flag.up(inputOf(here.run, share), here.context())).rejects.toMatchObject({ code: 'NotAcknowledged' });
    await one.says({ generation: 4 });
    for (const input of [inputOf(here.run, share), shadow, both]) await flag.down(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off', generation: 4 });
  });

  test('goes to the next stage and no further, and notices who else moved it', async () => {
    const here = await room();
    const name = unique('flag');
    acting(here, refOf(name), 'i-1').follows();
    await expect(flag.up(inputOf(here.run, stageStep(name, 'shadow')), here.context())).rejects.toMatchObject({
      code: 'StageRefused',
      message: `flag "${name}" in development is at stage "off" and can't go to "shadow"`,
    });
    expect(await rowOf(here, name)).toBeNull();
    expect((await here.unleash.read(refOf(name), signal)).exists).toBe(false);
    const input = inputOf(here.run, stageStep(name, 'dual-write'));
    await flag.up(input, here.context());
    const { database } = here.deps.home;
    await database.transaction((session) =>
      new Stages(database).set(session, { environment: 'development', flag: name }, 'shadow', 'other'),
    );
    await expect(flag.down(input, here.context())).rejects.toMatchObject({
      code: 'StageRefused',
      message: expect.stringContaining('was left at "dual-write" by this step'),
    });
  });

  test('all the way up and down again: each change is one stage, made when the one before is acted on', async () => {
    const here = await room();
    const name = unique('flag');
    await existing(here, refOf(name));
    acting(here, refOf(name), 'i-1').follows();
    const inputs = STAGES.slice(1, 5).map((stage) => inputOf(here.run, stageStep(name, stage)));
    for (const input of inputs) await flag.up(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'ramp-down', generation: 4, newOnlySince: null });
    for (const input of inputs.toReversed()) await flag.down(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off', generation: 8 });
    expect((await here.unleash.read(refOf(name), signal)).enabled).toBe(false);
  });
});

describe('a ramp with stages', () => {
  const ramp = (name: string, stops: Record<string, unknown>[], more: Record<string, unknown> = {}) => ({
    uses: 'rollout' as const,
    id: 'ramp',
    flag: name,
    ramp: stops,
    ...more,
  });
  const WHOLE = [
    { stage: 'dual-write' },
    { stage: 'shadow' },
    { percent: 5 },
    { percent: 100 },
    { stage: 'live' },
    { stage: 'ramp-down' },
    { stage: 'complete' },
  ];

  test('percents keep the row; the way back from complete stops where the old side would answer without new writes', async () => {
    const here = await room();
    const name = unique('flag');
    await existing(here, refOf(name));
    acting(here, refOf(name), 'i-1').follows();
    const input = inputOf(here.run, ramp(name, WHOLE));
    const answer = await rollout.up(input, here.context());
    expect(answer).toMatchObject({
      note: `flag ${name} in development is at stage complete`,
      progress: { done: 7, total: 7 },
    });
    expect(await rowOf(here, name)).toMatchObject({
      stage: 'complete',
      generation: 5,
      newOnlySince: expect.any(String),
    });
    const held = await rollout.down(input, here.context()).catch((error: unknown) => error);
    expect(held).toMatchObject({ code: 'OldPathStale', fields: { hold: true, accept: expect.any(String) } });
    // The flag is as it was, and both sides are written again.
    expect((await here.unleash.read(refOf(name), signal)).enabled).toBe(false);
    expect(await rowOf(here, name)).toMatchObject({ stage: 'live' });
    const { accept } = (held as { fields: { accept: string } }).fields;
    await expect(
      rollout.down({ ...input, accept: { digest: 'another', by: 'ana' } }, here.context()),
    ).rejects.toMatchObject({ code: 'OldPathStale' });
    expect(await rowOf(here, name)).toMatchObject({ stage: 'live' });
    await rollout.down({ ...input, accept: { digest: accept, by: 'ana' } }, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off', newOnlySince: null });
    expect(await here.deps.home.events(here.run, ['stale-accepted'])).toMatchObject([{ by: 'ana' }]);
  });

  test('a share of the users is exposed over the stage that the row keeps; the flag names no stage then', async () => {
    const here = await room();
    const name = unique('flag');
    await existing(here, refOf(name));
    acting(here, refOf(name), 'i-1').follows();
    const input = inputOf(here.run, ramp(name, [...WHOLE.slice(0, 2), { percent: 5 }]));
    await rollout.up(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'shadow', generation: 2 });
    expect(await flagOf(here, name)).toEqual({ percent: '5', variants: [] });
    const acted = expect.stringMatching(/^1 of 1 instance acted on it/);
    expect(await here.deps.home.events(here.run, ['stop-passed'])).toMatchObject(
      ['stage dual-write', 'stage shadow', '5 %'].map((stop) => ({ data: { step: 'ramp', stop, acted, found: null } })),
    );
    await rollout.down(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off', generation: 4 });
  });

  test('what a dual write of the plan keeps in step may answer again', async () => {
    const here = await room();
    const name = unique('flag');
    await existing(here, refOf(name));
    acting(here, refOf(name), 'i-1').follows();
    const of = { uses: 'dual-write', id: 'sync', database: 'app' } as unknown as StepOf<'dual-write'>;
    const input = { ...inputOf(here.run, ramp(name, WHOLE)), of };
    await rollout.up(input, here.context());
    await expect(rollout.down(input, here.context())).rejects.toMatchObject({ code: 'OldPathStale' });
    const ledger = new StepLedger(here.deps.home.database);
    const key = { run: here.run, phase: 'p', step: 'sync', kind: 'dual-write' };
    await here.deps.home.database.transaction(async (session) => {
      await ledger.enter(session, key);
      await ledger.record(session, key, 'applied');
    });
    await rollout.down(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off' });
  });

  test('exposure is lowered from outside, and the rollout raises nothing any more', async () => {
    const here = await room();
    const name = unique('flag');
    await existing(here, refOf(name));
    acting(here, refOf(name), 'i-1').follows();
    const input = inputOf(here.run, ramp(name, [...WHOLE.slice(0, 5), { stage: 'ramp-down', bake: '1h' }]));
    const stop = new AbortController();
    const up = rollout.up(input, here.context({ signal: stop.signal }));
    up.catch(() => undefined);
    await here.reported(({ note }) => note?.startsWith('at stage ramp-down') ?? false);
    const exposure = new Exposure(input, here.context());
    const lower = () => lowerTo(exposure, 0, (session) => new Positions(exposure.change).countLowering(session));
    await lower();
    expect(await flagOf(here, name)).toEqual({ percent: '0', variants: [] });
    expect(await rowOf(here, name)).toMatchObject({ stage: 'shadow' });
    await here.reported(({ note }) => note === 'exposure was lowered; waits for what the run decides');
    stop.abort(new Error('interrupted'));
    await expect(up).rejects.toThrow('interrupted');
    await lower();
    expect(await rowOf(here, name)).toMatchObject({ stage: 'shadow' });
    await rollout.down(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off' });
  });
});

describe('what one side lacks', () => {
  const lacks = (here: Room, name: string, side: 'old' | 'new') =>
    here.deps.home.database.query(
      `INSERT INTO switchback.repairs (environment, flag, key, side, error_class) VALUES ('development', $1, $2, $2, '40001')`,
      [name, side],
    );
  const repairedNow = (here: Room, name: string) =>
    here.deps.home.database.query('DELETE FROM switchback.repairs WHERE flag = $1', [name]);

  test('is waited for before that side answers, and not where it goes', async () => {
    const here = await room();
    const name = unique('flag');
    await existing(here, refOf(name));
    acting(here, refOf(name), 'i-1').follows();
    const inputs = STAGES.slice(1, 4).map((stage) => inputOf(here.run, stageStep(name, stage)));
    for (const input of inputs.slice(0, 2)) await flag.up(input, here.context());
    await lacks(here, name, 'new');
    const live = flag.up(inputs[2] as (typeof inputs)[number], here.context());
    await here.reported(({ note }) => note === `waits for repairs of flag ${name}: 1 key open (40001 1)`);
    await repairedNow(here, name);
    await live;
    await lacks(here, name, 'old');
    const back = flag.down(inputs[2] as (typeof inputs)[number], here.context());
    const waits = here.reports.length;
    await here.reported(
      (report) => here.reports.indexOf(report) >= waits && report.note?.startsWith('waits for repairs') === true,
    );
    expect(await rowOf(here, name)).toMatchObject({ stage: 'live' });
    await repairedNow(here, name);
    await back;
    // A new side that fails must not hold its own rollback; what it lacks is forgotten with it.
    await lacks(here, name, 'new');
    for (const input of inputs.slice(0, 2).toReversed()) await flag.down(input, here.context());
    expect(await rowOf(here, name)).toMatchObject({ stage: 'off' });
    expect(await here.deps.home.database.query('SELECT key FROM switchback.repairs WHERE flag = $1', [name])).toEqual(
      [],
    );
  });
});

test('check says where a path stands, and refuses a plan whose first stage is not next to that', async () => {
  const here = await room();
  const { database } = here.deps.home;
  const names = [unique('flag'), unique('flag')];
  await database.transaction((session) =>
    new Stages(database).set(session, { environment: 'development', flag: names[1] ?? '' }, 'live', 'earlier'),
  );
  const step = (name: string) => ({ id: name, uses: 'flag' as const, flag: name, stage: 'dual-write' as const });
  const plan = planOf('check-stages', [{ name: 'go', steps: names.map(step) }]);
  const { problems, notes } = await createLiveCheck(here.deps).checkLive({ plan });
  expect(notes).toContain(`the path of flag ${names[0]} is at stage off`);
  expect(problems).toContain(
    `the path of flag "${names[1]}" in development is at stage "live", where migration "earlier" left it, and the plan's first one, "dual-write", isn't next to it`,
  );
});
