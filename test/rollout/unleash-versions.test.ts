import { Unleash as Client } from 'unleash-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { flag as flagEffect } from '../../src/activities/flag.ts';
import { untilUnleash } from '../../src/activities/until-unleash.ts';
import { differences, exposureOf, isBetween, withPercent, withVariant } from '../../src/adapters/unleash/flag-state.ts';
import { keptOffBy } from '../../src/adapters/unleash/prerequisites.ts';
import { type FlagRef, strangeVersion, Unleash } from '../../src/adapters/unleash/unleash.ts';
import { flakyUnleash } from '../harness/flaky-unleash.ts';
import { ownUnleash, type OwnUnleash, tokenOf, unleashOfTheRun } from '../harness/unleash-servers.ts';
import { inputOf, room, unique } from './room.ts';
import { ourOf, pathOf, refOf, rollout, Server, signal, strategiesOf } from './versioned.ts';

const versions: Partial<Record<6 | 7 | 8, Server>> = {};
let eight: OwnUnleash;
beforeAll(async () => {
  const [six, own] = await Promise.all([ownUnleash(6), ownUnleash(8)]);
  eight = own;
  Object.assign(versions, { 6: new Server(six), 7: new Server(unleashOfTheRun()), 8: new Server(own) });
}, 240_000);
afterAll(async () => {
  await Promise.all(Object.values(versions).map(({ server }) => server.stop()));
}, 60_000);

describe.concurrent.each([6, 7, 8] as const)('Unleash %i', (major) => {
  const on = (): Server => {
    const server = versions[major];
    if (server === undefined) throw new Error(`Unleash ${major} did not start`);
    return server;
  };

  test('says its version, which is known', async () => {
    const version = await on().unleash.version(signal);
    expect(version).toMatch(new RegExp(`^${major}\\.`));
    expect(strangeVersion(version)).toBeNull();
  });

  test('a flag that is not there is created, raised, given a variant, and gone again', async () => {
    const ref = refOf();
    const absent = await on().read(ref);
    expect(absent.exists).toBe(false);
    const few = await on().write(ref, withPercent(absent, 25, ourOf(ref)));
    expect(await on().write(ref, withPercent(few, 25, ourOf(ref)))).toEqual(few);
    const shadow = await on().write(ref, withVariant(few, { name: 'shadow', percent: 100 }, ourOf(ref)));
    expect([exposureOf(few), exposureOf(shadow)]).toEqual([25, 100]);
    await on().write(ref, absent);
    expect(await on().write(ref, absent)).toMatchObject({ exists: false });
    await expect(on().make(ref)).resolves.toBeUndefined();
  });

  test('clients see the percentage, then the variant, then nothing', async ({ onTestFinished }) => {
    const { unleash, server } = on();
    const ref = refOf();
    const client = new Client({
      url: `${server.url}/api`,
      appName: unique('app'),
      customHeaders: { Authorization: server.clientToken },
      refreshInterval: 200,
      disableMetrics: true,
      skipInstanceCountWarning: true,
    });
    const nudges = setInterval(() => void unleash.nudge(ref, signal).catch(() => undefined), 2_000);
    onTestFinished(() => {
      clearInterval(nudges);
      client.destroy();
    });
    const users = Array.from({ length: 400 }, (_, user) => ({ userId: String(user) }));
    const until = (seen: () => boolean): Promise<void> =>
      new Promise((resolve, reject) => {
        const look = (): void => (seen() ? resolve() : undefined);
        client.on('error', reject).on('synchronized', look).on('changed', look);
        look();
      });
    const share = (): number => users.filter((user) => client.isEnabled(ref.flag, user)).length / 4;
    const absent = await on().read(ref);
    const some = await on().write(ref, withPercent(absent, 40, ourOf(ref)));
    await until(() => Math.abs(share() - 40) < 10);
    await on().write(ref, withVariant(some, { name: 'live', percent: 100 }, ourOf(ref)));
    await until(() => users.every((user) => client.getVariant(ref.flag, user).name === 'live'));
    await on().write(ref, absent);
    await until(() => share() === 0);
    expect(client.getFeatureToggleDefinition(ref.flag)).toBeUndefined();
  });

  test('what was there comes back whole: constraints, segments, variants, order, ids', async () => {
    const { admin, read, write } = on();
    const ref = refOf();
    const { id } = (await admin('POST', '/segments', { name: unique('segment'), constraints: [] })) as { id: number };
    await on().make(ref, [
      {
        ...rollout(30),
        constraints: [{ contextName: 'userId', operator: 'IN', values: ['ana', 'ben'] }],
        segments: [id],
        variants: [{ name: 'v', weight: 1000, weightType: 'variable', stickiness: 'default' }],
      },
      { name: 'remoteAddress', parameters: { IPs: '10.0.0.1' }, disabled: true },
    ]);
    await on().switch(ref, 'on');
    const before = await read(ref);
    expect(before.strategies).toMatchObject([
      { segments: [id], variants: [{ name: 'v' }], constraints: [{ values: ['ana', 'ben'] }] },
      { disabled: true },
    ]);
    const after = await write(ref, withPercent(before, 10, ourOf(ref)));
    expect(after.strategies.map(({ disabled }) => disabled)).toEqual([true, true, false]);
    await write(ref, before);
    expect(await read(ref)).toEqual(before);
  });

  test('an environment that has variants of its own keeps them, and a change of them is noticed', async () => {
    const { read, write, server } = on();
    const ref = refOf();
    await on().make(ref, [rollout(30)]);
    const variants = [{ name: 'old', weight: 1000, weightType: 'variable', stickiness: 'default', overrides: [] }];
    // No version since 5 lets people make new ones; flags that had some keep them.
    const set = (to: unknown): Promise<void> =>
      server.sql(
        `UPDATE feature_environments SET variants = '${JSON.stringify(to)}' WHERE feature_name = '${ref.flag}' AND environment = 'development'`,
      );
    await set(variants);
    const before = await read(ref);
    expect(before.variants).toMatchObject([{ name: 'old' }]);
    const ours = await write(ref, withPercent(before, 10, ourOf(ref)));
    await set([{ ...variants[0], name: 'new' }]);
    expect(differences(ours, await read(ref))).toEqual(['its variants differ']);
    await set(variants);
    await write(ref, before);
    expect(await read(ref)).toEqual(before);
  });

  test('an archived flag is revived and archived again, and not once somebody uses it elsewhere', async () => {
    const { admin, read, write } = on();
    const ref = refOf();
    await on().make(ref, [rollout(30)]);
    await admin('DELETE', pathOf(ref));
    const archived = await read(ref);
    expect(archived).toMatchObject({ exists: true, archived: true });
    expect(exposureOf(await write(ref, withPercent(archived, 25, ourOf(ref))))).toBe(25);
    await write(ref, archived);
    expect(await read(ref)).toEqual(archived);
    await write(ref, withPercent(archived, 25, ourOf(ref)));
    await on().switch(ref, 'on', 'production');
    await expect(write(ref, archived)).rejects.toMatchObject({
      code: 'FlagChanged',
      message: expect.stringContaining('in use in production'),
    });
  });

  test('other environments are seen and left alone; a flag of ours that is in use there is not deleted', async () => {
    const { admin, read, write } = on();
    const ref = refOf();
    const production = { ...ref, environment: 'production' };
    const absent = await read(ref);
    const ours = await write(ref, withPercent(absent, 25, ourOf(ref)));
    await admin('POST', strategiesOf(production), rollout(70));
    await on().switch(ref, 'on', 'production');
    const there = await read(production);
    expect((await read(ref)).elsewhere).toEqual([{ environment: 'production', enabled: true, strategies: 1 }]);
    expect(await write(ref, withPercent(ours, 50, ourOf(ref)))).toMatchObject({ enabled: true });
    await expect(write(ref, absent)).rejects.toMatchObject({ code: 'FlagChanged', fields: { hold: true } });
    expect({ ...(await read(production)), elsewhere: [] }).toEqual({ ...there, elsewhere: [] });
  });

  test('what others change is said in words', async () => {
    const { admin, read, write } = on();
    const ref = refOf();
    const ours = await write(ref, withPercent(await read(ref), 25, ourOf(ref)));
    await admin('POST', strategiesOf(ref), { ...rollout(60), constraints: [] });
    await admin('PUT', `${strategiesOf(ref)}/${ours.strategies[0]?.id}`, {
      ...ours.strategies[0],
      parameters: { ...ours.strategies[0]?.parameters, rollout: '80' },
    });
    await on().switch(ref, 'off');
    expect(differences(ours, await read(ref))).toEqual([
      'it is off, not on',
      'strategy "by hand" (flexibleRollout) was added',
      'strategy "Switchback: m" (flexibleRollout) lets in 80 %, not 25 %',
    ]);
  });

  test('a write that is cut short anywhere leaves something in between, and the next one finishes it', async () => {
    const { unleash, server } = on();
    const cuts = (['before', 'after'] as const).flatMap((side) => [1, 2, 3].map((at) => ({ side, at })));
    await Promise.all(
      cuts.map(async ({ side, at }) => {
        const proxy = await flakyUnleash(server.url, ({ write }) => (write === at ? side : null));
        const ref = refOf();
        const absent = await unleash.read(ref, signal);
        const target = withPercent(absent, 25, ourOf(ref));
        const cut = on().with(server.adminToken, proxy.url).write(ref, target, signal);
        await expect(cut).rejects.toMatchObject({ code: 'UnleashUnreachable', retry: true });
        proxy.close();
        expect(isBetween(absent, target, await unleash.read(ref, signal))).toBe(true);
        expect(exposureOf(await unleash.write(ref, target, signal))).toBe(25);
      }),
    );
  });

  test('flags that it depends on are captured, compared and named where they keep it off', async () => {
    const { admin, read, write, unleash } = on();
    const [ref, parent] = [refOf(), refOf()];
    const ours = await write(ref, withPercent(await read(ref), 25, ourOf(ref)));
    await on().make(parent, [rollout(100)]);
    const depend = (demand: object) =>
      admin('POST', `${pathOf(ref)}/dependencies`, { feature: parent.flag, ...demand });
    const keptOff = async () =>
      keptOffBy(ref.flag, 'development', await unleash.prerequisites(ref, await read(ref), signal));
    await depend({ enabled: true });
    const dependent = await read(ref);
    expect(dependent.dependencies).toEqual([{ feature: parent.flag, enabled: true, variants: [] }]);
    expect((await read(parent)).children).toEqual([ref.flag]);
    expect(differences(ours, dependent)).toEqual([`it depends on flag "${parent.flag}" being on`]);
    expect(differences(dependent, ours)).toEqual([`it no longer depends on flag "${parent.flag}"`]);
    expect(await keptOff()).toEqual([
      `flag "${ref.flag}" depends on "${parent.flag}", which is off in environment development`,
    ]);
    await on().switch(parent, 'on');
    expect(await keptOff()).toEqual([]);
    await depend({ enabled: true, variants: ['b', 'a'] });
    expect(differences(dependent, await read(ref))).toEqual([
      `it depends on flag "${parent.flag}" being on with variant a or b, not on`,
    ]);
    expect((await keptOff()).join()).toMatch(/being on with variant a or b, which gives no variant/);
    await depend({ enabled: false });
    expect((await keptOff()).join()).toMatch(/being off, which is on for everybody in environment development/);
    await expect(write(parent, await read({ ...parent, flag: 'none' }))).rejects.toMatchObject({
      code: 'FlagChanged',
      message: expect.stringContaining(`flag ${ref.flag} depends on it`),
    });
  });

  test('each kind of token that is not for it is named, and never shown', async () => {
    const { server, admin } = on();
    const frontend = (await admin('POST', '/api-tokens', {
      tokenName: unique('frontend'),
      type: 'frontend',
      environment: 'development',
      projects: ['*'],
    })) as { secret: string };
    const kinds = {
      [server.clientToken]: 'it was given a backend (client) token',
      [frontend.secret]: 'it was given a frontend token',
      '*:*.a-secret-of-another-server': 'it was given an admin token',
      'user:a-secret-that-was-revoked': 'it was given a personal access or service account token',
      'default:production.of-a-client-elsewhere': 'it was given a token of one environment',
      'a-password-pasted-here': 'it was given nothing that looks like a token',
    };
    for (const [token, said] of Object.entries(kinds)) {
      const error = await on()
        .with(token)
        .read(refOf(), signal)
        .catch((e: unknown) => e);
      expect(error).toMatchObject({
        code: 'UnleashUnreachable',
        retry: false,
        message: expect.stringContaining(said),
        hint: expect.stringContaining('must be an admin token (`*:*.…`), or a personal access'),
        fields: { hold: true },
      });
      expect(JSON.stringify(error) + String(error)).not.toContain(token.split('.').at(-1));
    }
  });

  test("a person's token works as far as the person may, and what is lacking is named", async () => {
    const { server } = on();
    const editor = await tokenOf(server, 'editor');
    const viewer = await tokenOf(server, 'viewer');
    const ref = refOf();
    const absent = await on().with(viewer).read(ref, signal);
    await expect(
      on()
        .with(viewer)
        .write(ref, withPercent(absent, 5, ourOf(ref)), signal),
    ).rejects.toMatchObject({
      code: 'FlagRefused',
      retry: false,
      message: expect.stringMatching(/\(403\): the token's owner lacks the permission CREATE_FEATURE$/),
    });
    const ours = await on()
      .with(editor)
      .write(ref, withPercent(absent, 5, ourOf(ref)), signal);
    expect(exposureOf(ours)).toBe(5);
    expect(await on().with(editor).nudge(ref, signal)).toBe(true);
    await on().with(editor).write(ref, absent, signal);

    await server.sql(`INSERT INTO change_request_settings (project, environment) VALUES ('default', 'production')
                      ON CONFLICT DO NOTHING`);
    const production = refOf({ environment: 'production' });
    await on().make(production);
    const target = withPercent(await on().read(production), 5, ourOf(production));
    await expect(on().with(editor).write(production, target, signal)).rejects.toMatchObject({
      code: 'FlagRefused',
      message: expect.stringContaining('changes there need a change request that somebody approves'),
      hint: expect.stringContaining('SKIP_CHANGE_REQUEST'),
    });
    // An admin token may skip them.
    expect(exposureOf(await on().write(production, target))).toBe(5);
  });

  test('projects, environments, names and segments that will not do are named with what there is', async () => {
    const { server, read, write, admin } = on();
    const [pay, shut, named] = [unique('pay'), unique('shut'), unique('named')];
    await server.sql(`INSERT INTO projects (id, name) VALUES ('${pay}', 'Pay'), ('${shut}', 'Shut'), ('${named}', 'Named');
      UPDATE projects SET archived_at = now() WHERE id = '${shut}';
      INSERT INTO project_environments (project_id, environment_name)
      VALUES ('${pay}', 'development'), ('${named}', 'development'), ('${shut}', 'development');
      INSERT INTO project_settings (project, project_mode, feature_naming_pattern) VALUES ('${named}', 'open', 'team-.+')`);
    const refused = async (ref: FlagRef, error: { message: unknown; hint?: unknown }) => {
      const set = async () => write(ref, withPercent(await read(ref), 5, ourOf(ref)));
      await expect(set()).rejects.toMatchObject({ code: 'FlagRefused', retry: false, ...error });
    };
    const has = (text: string) => expect.stringContaining(text);
    const nowhere = refOf({ project: 'nowhere' });
    await refused(nowhere, { message: has('no project "nowhere" in Unleash'), hint: has('it has: default') });
    const moon = refOf({ environment: 'moon' });
    await refused(moon, { message: has('no environment "moon"'), hint: has('development, production') });
    expect(await read({ ...moon, environment: 'development' })).toMatchObject({ exists: false });
    await refused(refOf({ project: shut }), { message: has(`project with id ${shut} does not exist`) });
    await refused(refOf({ project: named }), { message: has('naming pattern'), hint: has('naming pattern') });

    // Another project than the default one does as well.
    const paid = refOf({ project: pay });
    const ours = await write(paid, withPercent(await read(paid), 5, ourOf(paid)));
    expect(exposureOf(ours)).toBe(5);
    await refused({ ...paid, project: 'default' }, { message: has(`is in project "${pay}", not in "default"`) });
    await admin('DELETE', pathOf(paid));
    await refused({ ...paid, project: 'default' }, { message: has(`is in project "${pay}", not in "default"`) });

    const ref = refOf();
    const before = await write(ref, withPercent(await read(ref), 5, ourOf(ref)));
    const strategies = before.strategies.map((strategy) => ({ ...strategy, segments: [2_000_000] }));
    await expect(write(ref, { ...before, strategies })).rejects.toMatchObject({
      code: 'FlagChanged',
      message: has('refers to segment 2000000, which is gone'),
    });
  });

  test('a flag that appears between the look and the creation is not taken over', async () => {
    const { server, unleash, read } = on();
    const ref = refOf();
    const proxy = await flakyUnleash(server.url, async ({ write }) => {
      if (write === 1) await on().make(ref);
      return null;
    });
    const target = withPercent(await unleash.read(ref, signal), 5, ourOf(ref));
    await expect(on().with(server.adminToken, proxy.url).write(ref, target, signal)).rejects.toMatchObject({
      code: 'FlagChanged',
      message: expect.stringContaining('it was created at this moment'),
    });
    proxy.close();
    expect(await read(ref)).toMatchObject({ exists: true, enabled: false, strategies: [] });
  });
});

test('a server that crashes in mid-write and comes back is waited for, in words, and the change is finished', async () => {
  const here = await room();
  const name = unique('flag');
  let crashed: Promise<void> | null = null;
  const proxy = await flakyUnleash(eight.url, async ({ write }) => {
    if (write !== 2 || crashed !== null) return null;
    crashed = eight.crash();
    await crashed;
    return 'before';
  });
  const unleash = new Unleash({ url: proxy.url, adminToken: eight.adminToken });
  const input = inputOf(here.run, { uses: 'flag', id: 'set', flag: name, percent: 25 });
  const done = untilUnleash(flagEffect).up(input, here.context({ unleash }));
  await here.reported(
    ({ note }) => note !== null && note.includes("can't be reached") && note.includes('tried again, twice'),
  );
  await eight.start();
  expect(await done).toMatchObject({ note: `flag ${name} in development: 25 %` });
  expect(exposureOf(await unleash.read({ ...refOf(), flag: name }, signal))).toBe(25);
  proxy.close();
}, 120_000);
