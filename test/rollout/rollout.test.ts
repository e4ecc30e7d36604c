import { describe, expect, test } from 'vitest';
import { rollout } from '../../src/activities/rollout.ts';
import { FlagStates } from '../../src/adapters/postgres/flag-states.ts';
import type { FlagRef } from '../../src/adapters/unleash/unleash.ts';
import { inputOf, type Room, room, serve, unique } from './room.ts';

const signal = new AbortController().signal;
const refOf = (flag: string): FlagRef => ({
  project: 'default',
  environment: 'development',
  flag,
  type: 'release',
  description: '',
});
const rampOf = (flag: string, ramp: [percent: number, bake: string][], more: Record<string, unknown> = {}) => ({
  uses: 'rollout' as const,
  id: 'ramp',
  flag,
  ramp: ramp.map(([percent, bake]) => ({ percent, bake })),
  ...more,
});
const percentOf = async ({ unleash }: Room, flag: string) =>
  (await unleash.read(refOf(flag), signal)).strategies.find((strategy) => !strategy.disabled)?.parameters['rollout'];
const positionOf = ({ deps, run }: Room) => new FlagStates(deps.home.database).readPosition({ run, step: 'ramp' });
const guardOf = (url: string) => ({ name: 'errors', http: { url, path: '/errors', max: 0 } });

describe('rollout', () => {
  test('raises exposure stop by stop, each for its bake time, and is undone whole', async () => {
    const here = await room();
    const flag = unique('flag');
    const seen: (string | undefined)[] = [];
    const { url } = await serve(() => ({ body: { errors: 0 } }));
    const input = inputOf(
      here.run,
      rampOf(
        flag,
        [
          [5, '0s'],
          [25, '2s'],
          [100, '0s'],
        ],
        { guards: [guardOf(url)] },
      ),
    );
    const context = here.context();
    const start = performance.now();
    const answer = await rollout.up(input, {
      ...context,
      report: (details) => {
        context.report(details);
        seen.push(details.note ?? undefined);
      },
    });
    expect(performance.now() - start).toBeGreaterThan(2_000);
    expect(answer).toMatchObject({
      note: `flag ${flag} in development is at 100 %`,
      progress: { done: 100, total: 100 },
    });
    expect(seen).toContainEqual(
      expect.stringMatching(/^at 25 %, bakes [12] s more; errors ok \(the value at \/errors is 0 ≤ 0\)$/),
    );
    expect(await percentOf(here, flag)).toBe('100');
    expect(await rollout.up(input, here.context())).toEqual(answer);
    await rollout.down(input, here.context());
    expect((await here.unleash.read(refOf(flag), signal)).exists).toBe(false);
  });

  test('interrupted in mid-bake it keeps exposure and goes on with what is left of the bake', async () => {
    const here = await room();
    const flag = unique('flag');
    const input = inputOf(
      here.run,
      rampOf(flag, [
        [5, '0s'],
        [25, '6s'],
        [100, '0s'],
      ]),
    );
    const stop = new AbortController();
    const reason = new Error('paused');
    const up = rollout.up(input, here.context({ signal: stop.signal }));
    up.catch(() => undefined);
    await here.reported(({ note }) => /^at 25 %, bakes [1-4] s more$/.test(note ?? ''));
    stop.abort(reason);
    await expect(up).rejects.toBe(reason);
    expect(await percentOf(here, flag)).toBe('25');
    const position = await positionOf(here);
    expect(position).toMatchObject({ stop: 1, bakedMs: expect.any(Number) });
    expect((position as { bakedMs: number }).bakedMs).toBeGreaterThanOrEqual(2_000);
    const before = here.reports.length;
    await rollout.up(input, here.context());
    const notes = here.reports.slice(before).map(({ note }) => note);
    expect(notes).toContainEqual(expect.stringMatching(/^at 25 %, bakes [1-4] s more$/));
    expect(notes).not.toContainEqual(expect.stringMatching(/^at 5 %|bakes [5-9] s more$/));
    expect(await percentOf(here, flag)).toBe('100');
  });

  test('a breached guard lowers exposure at once; a retry bakes that stop anew', async () => {
    const here = await room();
    const flag = unique('flag');
    let errors = 0;
    const { url } = await serve(() => ({ body: { errors } }));
    const ramp = rampOf(
      flag,
      [
        [5, '0s'],
        [25, '2s'],
        [100, '0s'],
      ],
      { guards: [guardOf(url)], exposureOnFailure: { percent: 1 } },
    );
    const input = inputOf(here.run, ramp);
    const up = rollout.up(input, here.context());
    up.catch(() => undefined);
    await here.reported(({ note }) => note?.startsWith('at 25 %') ?? false);
    errors = 3;
    await expect(up).rejects.toMatchObject({
      code: 'GuardTripped',
      retry: false,
      message: 'guard "errors" was breached: the value at /errors is 3 not ≤ 0',
    });
    expect(await percentOf(here, flag)).toBe('1');
    expect(await positionOf(here)).toMatchObject({ stop: 1, bakedMs: 0 });
    errors = 0;
    // A worker that comes back has not been told to try again: it says the same, and raises nothing.
    await expect(rollout.up(input, here.context())).rejects.toMatchObject({ code: 'GuardTripped' });
    expect(await percentOf(here, flag)).toBe('1');
    await rollout.up({ ...input, retried: 1 }, here.context());
    expect(await percentOf(here, flag)).toBe('100');
  });

  test('a guard that nobody can read is a breach at its third silence, and no time bakes meanwhile', async () => {
    const here = await room();
    const flag = unique('flag');
    let silent = true;
    const { url, requests } = await serve(() => (silent ? 'hang up' : { body: { errors: 0 } }));
    const ramp = rampOf(
      flag,
      [
        [5, '1s'],
        [100, '0s'],
      ],
      { guards: [guardOf(url)], exposureOnFailure: { percent: 0 } },
    );
    await expect(rollout.up(inputOf(here.run, ramp), here.context())).rejects.toMatchObject({
      code: 'MetricsUnreachable',
      message: expect.stringContaining('3 times in a row'),
    });
    expect(requests).toHaveLength(3);
    expect(await percentOf(here, flag)).toBe('0');
    expect(await positionOf(here)).toMatchObject({ stop: 0, bakedMs: 0 });
    silent = false;
    await rollout.up({ ...inputOf(here.run, ramp), retried: 1 }, here.context());
    expect(await percentOf(here, flag)).toBe('100');
  });

  test("notices someone else's change while it bakes, and leaves it", async () => {
    const here = await room();
    const flag = unique('flag');
    const ramp = rampOf(flag, [[5, '1m']], { exposureOnFailure: { percent: 0 } });
    const up = rollout.up(inputOf(here.run, ramp), here.context());
    up.catch(() => undefined);
    await here.reported(({ note }) => note?.startsWith('at 5 %') ?? false);
    const state = await here.unleash.read(refOf(flag), signal);
    const [strategy] = state.strategies;
    if (strategy === undefined) throw new Error('the flag has no strategy');
    const raised = { ...strategy, parameters: { ...strategy.parameters, rollout: '90' } };
    await here.unleash.write(refOf(flag), { ...state, strategies: [raised] }, signal);
    await expect(up).rejects.toMatchObject({
      code: 'FlagChanged',
      fields: { hold: true },
      message: expect.stringContaining('lets in 90 %, not 5 %'),
    });
    expect(await percentOf(here, flag)).toBe('90');
  });

  test('a worker whose run was taken over stops at its next look', async () => {
    const here = await room();
    const flag = unique('flag');
    const up = rollout.up(inputOf(here.run, rampOf(flag, [[5, '1m']])), here.context());
    up.catch(() => undefined);
    await here.reported(({ note }) => note?.startsWith('at 5 %') ?? false);
    const newer = await here.raise();
    await expect(up).rejects.toMatchObject({ code: 'Fenced' });
    await rollout.down(inputOf(newer, rampOf(flag, [[5, '1m']])), here.context());
    expect((await here.unleash.read(refOf(flag), signal)).exists).toBe(false);
  });
});
