import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type FlagState,
  type FlagStrategy,
  type OurStrategy,
  withEnabled,
  withPercent,
  withVariant,
} from '../../src/adapters/unleash/flag-state.ts';
import { type FlagRef, strangeVersion, Unleash } from '../../src/adapters/unleash/unleash.ts';
import type { SwitchbackError } from '../../src/messages/index.ts';
import { type Fault, flakyUnleash } from '../harness/flaky-unleash.ts';
import { servers } from '../harness/servers.ts';
import { adminOf } from '../harness/unleash-servers.ts';
import { closedPort, serve, unique, unreliableUnleash } from './room.ts';

const signal = new AbortController().signal;
const refOf = (flag: string): FlagRef => ({
  project: 'default',
  environment: 'development',
  flag,
  type: 'release',
  description: 'of a test',
});
const ourOf = (flag: string): OurStrategy => ({ title: 'Switchback: test', groupId: flag, stickiness: 'userId' });
const real = (): Unleash => new Unleash({ url: servers().unleash.url, adminToken: servers().unleash.adminToken });

const admin = (method: string, path: string, body?: unknown): Promise<unknown> =>
  adminOf(servers().unleash, method, path, body);

const strategy = fc.record({
  name: fc.constantFrom('flexibleRollout', 'default', 'remoteAddress'),
  title: fc.constantFrom('', 'beta testers', "Ana's"),
  disabled: fc.boolean(),
  users: fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}$/), { maxLength: 3 }),
  rollout: fc.integer({ min: 0, max: 100 }),
  variant: fc.boolean(),
  segment: fc.boolean(),
});
const earlier = fc.option(
  fc.record({ enabled: fc.boolean(), archived: fc.boolean(), strategies: fc.array(strategy, { maxLength: 3 }) }),
  { nil: null, freq: 6 },
);
const change = fc.oneof(
  fc
    .integer({ min: 0, max: 100 })
    .map((percent) => (state: FlagState, our: OurStrategy) => withPercent(state, percent, our)),
  fc.boolean().map((enabled) => (state: FlagState, our: OurStrategy) => withEnabled(state, enabled, our)),
  fc
    .integer({ min: 1, max: 100 })
    .map((percent) => (state: FlagState, our: OurStrategy) => withVariant(state, { name: 'new', percent }, our)),
);

/** Makes the flag as people would have, with the Admin API alone. */
async function makeFlag(
  flag: string,
  segment: number,
  of: NonNullable<typeof earlier extends fc.Arbitrary<infer T> ? T : never>,
) {
  const path = `/projects/default/features/${flag}`;
  await admin('POST', '/projects/default/features', { name: flag, type: 'release' });
  for (const { name, title, disabled, users, rollout, variant, segment: inSegment } of of.strategies) {
    const parameters =
      name === 'flexibleRollout'
        ? { rollout: String(rollout), stickiness: 'default', groupId: flag }
        : name === 'remoteAddress'
          ? { IPs: '10.0.0.1' }
          : {};
    await admin('POST', `${path}/environments/development/strategies`, {
      name,
      title,
      disabled,
      parameters,
      constraints: users.length > 0 ? [{ contextName: 'userId', operator: 'IN', values: users }] : [],
      segments: inSegment ? [segment] : [],
      variants: variant ? [{ name: 'v', weight: 1000, weightType: 'variable', stickiness: 'default' }] : [],
    });
  }
  if (of.enabled) await admin('POST', `${path}/environments/development/on`);
  if (of.archived) await admin('DELETE', path);
}

// What all versions that we work with have to do is in unleash-versions.test.ts.
describe('Unleash', () => {
  test('restores any captured state whole, whatever was made of the flag in between', async () => {
    const unleash = real();
    const { id: segment } = (await admin('POST', '/segments', { name: unique('segment'), constraints: [] })) as {
      id: number;
    };
    await fc.assert(
      fc.asyncProperty(earlier, fc.array(change, { minLength: 1, maxLength: 3 }), async (given, changes) => {
        const flag = unique('flag');
        if (given !== null) await makeFlag(flag, segment, given);
        const captured = await unleash.read(refOf(flag), signal);
        expect(captured.exists).toBe(given !== null);
        let state = captured;
        for (const make of changes) {
          const target = make(state, ourOf(flag));
          state = await unleash.write(refOf(flag), target, signal);
          const active = (of: FlagState) => of.strategies.filter((one) => !one.disabled).map((one) => one.parameters);
          expect({ enabled: state.enabled, active: active(state) }).toEqual({
            enabled: target.enabled,
            active: active(target),
          });
        }
        await unleash.write(refOf(flag), captured, signal);
        expect(await unleash.read(refOf(flag), signal)).toEqual(captured);
      }),
      { numRuns: 12 },
    );
  }, 240_000);

  test('flags that are deleted as soon as they were created do not take the server with them', async () => {
    const proxy = await unreliableUnleash(() => null);
    const unleash = new Unleash({ url: proxy.url, adminToken: servers().unleash.adminToken });
    const flags = Array.from({ length: 12 }, () => unique('flag'));
    await Promise.all(
      flags.map(async (flag) => {
        const captured = await unleash.read(refOf(flag), signal);
        await unleash.write(refOf(flag), withPercent(captured, 25, ourOf(flag)), signal);
        await unleash.write(refOf(flag), captured, signal);
      }),
    );
    for (const flag of flags) {
      // Unleash has noted the flag's life before the flag goes: see `#awaitLifecycle`.
      const last = proxy.requests.filter((request) => request.includes(flag)).slice(-4);
      expect(last.slice(0, 2)).toEqual([
        `GET /api/admin/projects/default/features/${flag}/lifecycle`,
        `DELETE /api/admin/archive/${flag}`,
      ]);
    }
    await expect(admin('GET', '/projects')).resolves.toBeTruthy();
  });

  test('sends parameters as strings, and leaves other strategies disabled under their ids', async () => {
    const flag = unique('flag');
    await makeFlag(flag, 0, {
      enabled: true,
      archived: false,
      strategies: [
        { name: 'default', title: '', disabled: false, users: [], rollout: 0, variant: false, segment: false },
      ],
    });
    const before = await real().read(refOf(flag), signal);
    const after = await real().write(refOf(flag), withPercent(before, 25, ourOf(flag)), signal);
    expect(after.strategies).toEqual<FlagStrategy[]>([
      { ...(before.strategies[0] as FlagStrategy), disabled: true },
      {
        id: expect.any(String),
        name: 'flexibleRollout',
        title: 'Switchback: test',
        disabled: false,
        sortOrder: 1,
        constraints: [],
        parameters: { groupId: flag, rollout: '25', stickiness: 'userId' },
        segments: [],
        variants: [],
      },
    ]);
  });

  test('a server that is away is named, and worth another try', async () => {
    const port = await closedPort();
    const closed = new Unleash({ url: `http://user:hidden@127.0.0.1:${port}`, adminToken: 'secret' });
    await expect(closed.read(refOf('any'), signal)).rejects.toMatchObject({
      code: 'UnleashUnreachable',
      retry: true,
      message: `Unleash at http://127.0.0.1:${port} can't be reached (ECONNREFUSED)`,
    });
    const { url } = await serve(() => 'hang up');
    await expect(new Unleash({ url, adminToken: 'x' }).read(refOf('any'), signal)).rejects.toMatchObject({
      retry: true,
    });
  });

  /** The real server behind a proxy that gives the first request to a flag this fault. */
  const withFault = async (fault: Fault, on = (path: string) => path.includes('/features/')) => {
    let given = false;
    const proxy = await flakyUnleash(servers().unleash.url, ({ path }) => {
      if (given || !on(path)) return null;
      given = true;
      return fault;
    });
    onTestFinished(proxy.close);
    return { proxy, unleash: new Unleash({ url: proxy.url, adminToken: servers().unleash.adminToken }) };
  };

  test.each([
    [{ status: 500 }, '(it answers 500 to GET '],
    [{ status: 503, body: '<html>maintenance</html>' }, '(it answers 503 to GET '],
    [{ status: 429 }, '(it answers 429 to GET '],
    ['before', "can't be reached ("],
    ['silent', '(no answer in 5 s)'],
  ] as [Fault, string][])('an answer of %j is worth another try, and the next one does', async (fault, said) => {
    const { unleash } = await withFault(fault);
    await expect(unleash.read(refOf('any'), signal)).rejects.toMatchObject({
      code: 'UnleashUnreachable',
      retry: true,
      message: expect.stringContaining(said),
    });
    await expect(unleash.read(refOf('any'), signal)).resolves.toMatchObject({ exists: false });
  });

  test('Retry-After is waited for where it is short, and handed on where it is long', async () => {
    const short = await withFault({ status: 429, headers: { 'retry-after': '1' } });
    const began = performance.now();
    await expect(short.unleash.read(refOf('any'), signal)).resolves.toMatchObject({ exists: false });
    expect(performance.now() - began).toBeGreaterThan(900);
    expect(short.proxy.requests[0]).toBe(short.proxy.requests[1]);
    const inAMinute = new Date(Date.now() + 60_000).toUTCString();
    for (const [header, least] of [
      ['90', 90_000],
      [inAMinute, 50_000],
    ] as const) {
      const { unleash, proxy } = await withFault({ status: 429, headers: { 'retry-after': header } });
      const error = (await unleash.read(refOf('any'), signal).catch((e: unknown) => e)) as SwitchbackError;
      expect(error).toMatchObject({ code: 'UnleashUnreachable', retry: true });
      expect(error.fields['retryAfterMs']).toBeGreaterThanOrEqual(least);
      expect(proxy.requests).toHaveLength(1);
    }
  });

  test('what is not Unleash, sends elsewhere or answers otherwise than the versions we know is told as that', async () => {
    const read = async (fault: Fault) => (await withFault(fault)).unleash.read(refOf('any'), signal);
    await expect(read({ status: 200, body: '<html>Sign in</html>' })).rejects.toMatchObject({
      code: 'UnleashUnreachable',
      retry: false,
      message: expect.stringContaining('is not Unleash'),
    });
    await expect(read({ status: 403, body: '<html>Forbidden</html>' })).rejects.toMatchObject({
      code: 'UnleashUnreachable',
      retry: false,
      message: expect.stringMatching(/^something before Unleash at .* refuses \(403\)$/),
    });
    await expect(read({ status: 302, headers: { location: 'https://login.example.com' } })).rejects.toMatchObject({
      code: 'UnleashUnreachable',
      retry: false,
      message: expect.stringContaining('elsewhere (302)'),
    });
    const without = {
      environments: [{ name: 'development', enabled: true, variants: [] }],
      dependencies: [],
      children: [],
    };
    await expect(read({ status: 200, body: JSON.stringify(without) })).rejects.toMatchObject({
      code: 'FlagRefused',
      retry: false,
      message: expect.stringMatching(
        /^Unleash 7\.\d+\.\d+ at .* in a form that we don't know \(environments: 0: strategies: /,
      ),
      fields: { version: expect.stringMatching(/^7\./), hold: true },
    });
    expect(strangeVersion('9.0.0')).toBe("Unleash's version is 9.0.0; those known to work are 6, 7, 8");
    expect(strangeVersion(null)).toContain('not said');
  });

  test('stops when it is interrupted', async () => {
    const reason = new Error('interrupted');
    await expect(real().read(refOf('any'), AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
