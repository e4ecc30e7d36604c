import { describe, expect, test } from 'vitest';
import { rollout } from '../../src/activities/rollout.ts';
import type { EffectInput } from '../../src/activities/effect.ts';
import { GateWindows } from '../../src/adapters/postgres/gate-windows.ts';
import { type SwitchbackError } from '../../src/messages/index.ts';
import { inputOf, type Room, room, serve, unique } from './room.ts';

const signal = new AbortController().signal;
type Path = 'old' | 'new';
interface Source {
  /** What one look sees more of each path. */
  more: Record<Path, { total: number; bad: number }>;
  silent: boolean;
  mismatches: number;
  /** What each path's counters said, in order. */
  said: Record<Path, { total: number; bad: number }[]>;
  url: string;
}

/** Counters of both paths that rise with each look; nobody has to wait for traffic. */
async function source(): Promise<Source> {
  const state: Source = {
    more: { old: { total: 1000, bad: 10 }, new: { total: 1000, bad: 10 } },
    silent: false,
    mismatches: 0,
    said: { old: [{ total: 500, bad: 50 }], new: [{ total: 500, bad: 50 }] },
    url: '',
  };
  const { url } = await serve((request) => {
    if (request.url === '/mismatches') return { body: { mismatches: state.mismatches } };
    if (state.silent) return 'hang up';
    const path: Path = request.url?.includes('path=new') ? 'new' : 'old';
    const last = state.said[path].at(-1) ?? { total: 0, bad: 0 };
    const now = { total: last.total + state.more[path].total, bad: last.bad + state.more[path].bad };
    state.said[path].push(now);
    return { body: now };
  });
  state.url = url;
  return state;
}

const errorsOf = ({ url }: Source, more: Record<string, unknown> = {}) => ({
  name: 'errors',
  http: { url: `${url}/counts?path=$path`, bad: '/bad', total: '/total' },
  ...more,
});
const ramp = (flag: string, stops: Record<string, unknown>[], analysis: Record<string, unknown>) => ({
  uses: 'rollout' as const,
  id: 'ramp',
  flag,
  ramp: stops,
  analysis: { interval: '100ms', minSamples: 1, ...analysis },
  exposureOnFailure: { percent: 0 },
});
const percentOf = async ({ unleash }: Room, flag: string) => {
  const ref = { project: 'default', environment: 'development', flag, type: 'release', description: '' };
  return (await unleash.read(ref, signal)).strategies.find((strategy) => !strategy.disabled)?.parameters['rollout'];
};
const failing = (here: Room, input: EffectInput<'rollout'>): Promise<SwitchbackError> =>
  rollout.up(input, here.context()).then(
    ({ note }) => {
      throw new Error(`it passed: ${note}`);
    },
    (error: unknown) => error as SwitchbackError,
  );
const windowsOf = (here: Room, series = 0) =>
  new GateWindows(here.deps.home.database).closed({ run: here.run, step: 'ramp' }, series);
const sumOf = (windows: Awaited<ReturnType<typeof windowsOf>>, path: Path) =>
  windows.reduce((sum, { counts }) => sum + counts[path].total, 0);

describe('the gate of a rollout', () => {
  test('passes stop by stop when the bake is over, the samples are there and the margin is shown', async () => {
    const here = await room();
    const flag = unique('flag');
    const counters = await source();
    const stops = [{ percent: 5, bake: '300ms' }, { percent: 100 }];
    const input = inputOf(
      here.run,
      ramp(flag, stops, { minSamples: 2500, metrics: [errorsOf(counters, { margin: 1.5 })] }),
    );
    await rollout.up(input, here.context());
    expect(await percentOf(here, flag)).toBe('100');
    const windows = await windowsOf(here);
    for (const stop of [0, 1]) {
      const atStop = windows.filter((window) => window.stop === stop);
      expect(sumOf(atStop, 'new')).toBeGreaterThanOrEqual(2500);
    }
    expect(windows.map(({ number }) => number)).toEqual(windows.map(({ number }) => number).toSorted((a, b) => a - b));
    expect(await here.deps.home.events(here.run, ['stop-passed'])).toMatchObject(
      ['5 %', '100 %'].map((stop) => ({
        data: { step: 'ramp', stop, found: expect.stringMatching(/; errors: new path 1 % of .*evidence .* of 20/) },
      })),
    );
    const notes = here.reports.map(({ note }) => note ?? '');
    expect(notes).toContainEqual(
      expect.stringMatching(
        /^at 5 %, looks for the evidence that passes it; errors 1 % \(old 1 %\) of [\d,]+, .*evidence for [\d.]+ of 20, against/,
      ),
    );
  });

  test('fails a path that is worse, lowers exposure, and says so until a person lets it begin anew', async () => {
    const here = await room();
    const flag = unique('flag');
    const counters = await source();
    counters.more.new.bad = 30;
    const input = inputOf(here.run, ramp(flag, [{ percent: 25, bake: '1h' }], { metrics: [errorsOf(counters)] }));
    const failed = await failing(here, input);
    expect(failed).toMatchObject({ code: 'GateFailed', retry: false });
    expect(failed.message).toMatch(
      new RegExp(
        `^flag "${flag}" at 25 %: the new path is worse: errors: new path \\d.* % of [\\d,]+ bad, old 1 % of .*; evidence .* of 20 needed$`,
      ),
    );
    expect(await percentOf(here, flag)).toBe('0');
    const looks = counters.said.new.length;
    expect(await failing(here, input)).toMatchObject({ code: 'GateFailed', message: failed.message });
    expect(counters.said.new).toHaveLength(looks);
    expect(await here.deps.home.events(here.run, ['gate-failed', 'stop-passed'])).toMatchObject([
      { key: 'gate-failed/ramp/0/0', data: { step: 'ramp', stop: '25 %', reason: failed.message } },
    ]);
    counters.more.new.bad = 10;
    const again = inputOf(here.run, ramp(flag, [{ percent: 25, bake: '300ms' }], { metrics: [errorsOf(counters)] }));
    await rollout.up({ ...again, retried: 1 }, here.context());
    expect(await percentOf(here, flag)).toBe('25');
    expect((await windowsOf(here, 1)).length).toBeGreaterThan(0);
  });

  test('too little evidence by the deadline: held with its case; retry looks on, accept goes on', async () => {
    const here = await room();
    const flag = unique('flag');
    const counters = await source();
    const analysis = { minSamples: 1_000_000_000, deadline: '200ms', metrics: [errorsOf(counters)] };
    const input = inputOf(here.run, ramp(flag, [{ percent: 5, bake: '100ms' }, { percent: 25 }], analysis));
    const first = await failing(here, input);
    expect(first).toMatchObject({ code: 'GateInconclusive', fields: { hold: true, accept: expect.any(String) } });
    expect(first.message).toContain('requests on the new path. The case: errors: new path 1 % of');
    expect(first.hint).toContain(`switchback retry ${here.run.migration} ramp --accept ${first.fields['accept']}`);
    // Nothing is lowered, and a worker that comes back looks no further.
    expect(await percentOf(here, flag)).toBe('5');
    const looks = counters.said.new.length;
    expect((await failing(here, input)).message).toBe(first.message);
    expect(counters.said.new).toHaveLength(looks);
    const second = await failing(here, { ...input, retried: 1 });
    expect(counters.said.new.length).toBeGreaterThan(looks);
    const { accept } = second.fields as { accept: string };
    expect(accept).not.toBe(first.fields['accept']);
    const stale = { ...input, retried: 2, accept: { digest: String(first.fields['accept']), by: 'ana' } };
    expect((await failing(here, stale)).message).toBe(second.message);
    const third = await failing(here, { ...input, retried: 3, accept: { digest: accept, by: 'ana' } });
    expect(third.message).toContain(`flag "${flag}" at 25 %`);
    expect(await percentOf(here, flag)).toBe('25');
    expect(await here.deps.home.events(here.run, ['gate-accepted'])).toMatchObject([{ by: 'ana' }]);
  });

  test('no data proves nothing and holds exposure; it goes on when there is some', async () => {
    const here = await room();
    const flag = unique('flag');
    const counters = await source();
    counters.silent = true;
    const input = inputOf(
      here.run,
      ramp(flag, [{ percent: 5, bake: '200ms' }, { percent: 100 }], { metrics: [errorsOf(counters)] }),
    );
    const up = rollout.up(input, here.context());
    up.catch(() => undefined);
    await here.reported(
      ({ note }) =>
        note?.startsWith('at 5 %, bakes 1 s more; http silent, 1 of 1 metrics (errors: new path: ') ?? false,
    );
    const position = await here.deps.home.database.query('SELECT position FROM switchback.rollouts');
    expect(JSON.parse(position[0]?.['position'] ?? '')).toMatchObject({ stop: 0, bakedMs: 0 });
    counters.silent = false;
    await up;
    expect(await percentOf(here, flag)).toBe('100');
  });

  test('no data fails the step where the plan says so, and lowers exposure', async () => {
    const here = await room();
    const flag = unique('flag');
    const counters = await source();
    counters.silent = true;
    const analysis = { onNoData: 'fail', metrics: [errorsOf(counters)] };
    const input = inputOf(here.run, ramp(flag, [{ percent: 5, bake: '1h' }], analysis));
    expect(await failing(here, input)).toMatchObject({
      code: 'GateNoData',
      message: expect.stringMatching(/^no data, 3 looks in a row: errors \(http\): new path: /),
    });
    expect(await percentOf(here, flag)).toBe('0');
  });

  test('one reading of what is critical over its bound fails it at once; what can never be read does too', async () => {
    const here = await room();
    const counters = await source();
    counters.mismatches = 1;
    const mismatches = {
      name: 'mismatches',
      http: { url: `${counters.url}/mismatches`, path: '/mismatches' },
      max: 0,
      critical: true,
    };
    const [one, other] = [unique('flag'), unique('flag')];
    const critical = inputOf(
      here.run,
      ramp(one, [{ percent: 5, bake: '1h' }], { metrics: [errorsOf(counters), mismatches] }),
    );
    expect(await failing(here, critical)).toMatchObject({
      code: 'GateFailed',
      message: `flag "${one}" at 5 %: the new path is worse: mismatches: 1, 0 at most`,
    });
    expect(await percentOf(here, one)).toBe('0');
    const wrong = { name: 'wrong', sql: { database: 'app', query: 'select count(*) from nowhere' }, max: 0 };
    const never = inputOf(here.run, {
      ...ramp(other, [{ percent: 5, bake: '1h' }], { metrics: [wrong] }),
      id: 'other',
    });
    expect(await failing(here, never)).toMatchObject({
      code: 'MetricsUnreachable',
      message: expect.stringContaining('metric "wrong" can\'t be read'),
    });
    expect(await percentOf(here, other)).toBe('0');
  });

  test('a stop at which nobody is on the new path has nothing to compare', async () => {
    const here = await room();
    const flag = unique('flag');
    const counters = await source();
    counters.silent = true;
    const stop = { stage: 'dual-write', bake: '100ms' };
    const step = { ...ramp(flag, [stop], { metrics: [errorsOf(counters)] }), acknowledge: { required: 0 } };
    const { note } = await rollout.up(inputOf(here.run, step), here.context());
    expect(note).toBe(`flag ${flag} in development is at stage dual-write`);
  });

  test('windows are counted once by two workers, and by one that comes back', async () => {
    const here = await room();
    const flag = unique('flag');
    const counters = await source();
    const input = inputOf(here.run, ramp(flag, [{ percent: 5, bake: '2s' }], { metrics: [errorsOf(counters)] }));
    const killed = new AbortController();
    const first = rollout.up(input, here.context({ signal: killed.signal }));
    first.catch(() => undefined);
    await expect.poll(() => windowsOf(here), { interval: 50, timeout: 15_000 }).not.toEqual([]);
    killed.abort(new Error('the worker dies'));
    await expect(first).rejects.toThrow('the worker dies');
    // Two take it over: one of them was only thought to be dead. Whoever is slower stands still.
    const stop = new AbortController();
    const context = here.context({ signal: stop.signal });
    const both = [rollout.up(input, context), rollout.up(input, context)];
    await Promise.any(both);
    stop.abort(new Error('over'));
    await Promise.allSettled(both);
    const windows = await windowsOf(here);
    expect(new Set(windows.map(({ number }) => number)).size).toBe(windows.length);
    for (const path of ['old', 'new'] as const) {
      // The first look of all opened the first window; no later one is counted from anywhere else than the one before.
      const [, opened, ...later] = counters.said[path];
      const ends = later.map(({ total }) => total - (opened?.total ?? 0));
      expect(ends).toContain(sumOf(windows, path));
    }
  });
});
