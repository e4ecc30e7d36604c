import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Deps } from '../../src/activities/deps.ts';
import { createLiveCheck } from '../../src/activities/live-check.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { Unleash } from '../../src/adapters/unleash/unleash.ts';
import type { LiveCheck } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { planOf } from '../harness/engine.ts';
import { type FreshDatabase, freshDatabase, servers } from '../harness/servers.ts';
import { adminOf } from '../harness/unleash-servers.ts';
import { unique } from '../rollout/room.ts';

type Steps = PlanInput['spec']['phases'][number]['steps'];
/** A port that nothing listens on. */
const NOWHERE = 'http://127.0.0.1:1';

let fresh: FreshDatabase;
beforeAll(async () => {
  fresh = await freshDatabase('check');
});
afterAll(() => fresh.drop());

async function check(
  steps: Steps,
  flags: PlanInput['spec']['flags'] = {},
  unleash: Unleash | null = new Unleash(servers().unleash),
): Promise<LiveCheck> {
  const databases = new Databases({ app: { url: fresh.url } });
  const home = new HomeLedger(databases.get('app'));
  const deps = { databases, home, unleash, approvers: {} } as Partial<Deps> as Deps;
  try {
    return await createLiveCheck(deps).checkLive({ plan: planOf('live', [{ name: 'one', steps }], { flags }) });
  } finally {
    await databases.close();
  }
}
const flip = (flag: string, enabled = true): Steps[number] => ({ id: `flip-${flag}`, uses: 'flag', flag, enabled });
const features = (method: string, path: string, body?: unknown): Promise<unknown> =>
  adminOf(servers().unleash, method, `/projects/default/features${path}`, body);

test('Unleash that can’t be reached, or that refuses the token, is one problem, however many flags there are', async () => {
  const steps = [flip('a'), flip('b')];
  expect((await check(steps, {}, null)).problems).toEqual([
    'the plan changes flags, and the configuration has no `unleash:`',
  ]);
  const [away, ...others] = (await check(steps, {}, new Unleash({ url: NOWHERE, adminToken: 'x' }))).problems;
  expect([away, others]).toEqual([expect.stringContaining("can't be reached"), []]);
  const { url, clientToken } = servers().unleash;
  const [refused] = (await check(steps, {}, new Unleash({ url, adminToken: clientToken }))).problems;
  expect(refused).toMatch(/refuses the token \(403\): it was given a backend \(client\) token.*must be an admin token/);
});

test('a plan without flags is only told of an Unleash that does not answer', async () => {
  const unleash = new Unleash({ url: NOWHERE, adminToken: 'x' });
  const live = await check([{ id: 'pause', uses: 'wait', for: '1s' }], {}, unleash);
  expect(live.problems).toEqual([]);
  expect(live.notes.join()).toMatch(/Unleash at .* can't be reached \(.*\); this plan changes no flag/);
});

test('each flag is told as it is, elsewhere too', async () => {
  const [absent, there] = [unique('flag'), unique('flag')];
  await features('POST', '', { name: there, type: 'release' });
  await features('POST', `/${there}/environments/production/on`);
  const live = await check([flip(absent), flip(there)]);
  expect(live.problems).toEqual([]);
  expect(live.notes).toEqual(
    expect.arrayContaining([
      `flag ${absent} does not exist yet`,
      `flag ${there} is off; it is on in production too, which stays as it is`,
    ]),
  );
});

test('project and environment are looked at before the flag is there', async () => {
  const name = unique('flag');
  const [moon] = (await check([flip(name)], { [name]: { environment: 'moon' } })).problems;
  expect(moon).toMatch(/no environment "moon" in project "default" of Unleash \(it has: development, production\)/);
  const [nowhere] = (await check([flip(name)], { [name]: { project: 'nowhere' } })).problems;
  expect(nowhere).toMatch(/no project "nowhere" in Unleash .*\(it has: default\)/);
});

test('a flag that keeps another one off is named, unless the plan sets it', async () => {
  const [parent, child] = [unique('parent'), unique('child')];
  for (const name of [parent, child]) await features('POST', '', { name, type: 'release' });
  await features('POST', `/${child}/dependencies`, { feature: parent });
  const said = `flag "${child}" depends on "${parent}", which is off in environment development: nobody would see it`;
  expect((await check([flip(child)])).problems).toEqual([said]);
  expect((await check([flip(child, false)])).problems).toEqual([]);
  expect((await check([{ id: 'stage', uses: 'flag', flag: child, stage: 'dual-write' }])).problems).toEqual([]);
  const ramp = [{ percent: 5 }];
  expect((await check([{ id: 'ramp', uses: 'rollout', flag: child, ramp }])).problems).toEqual([said]);
  const both = await check([flip(parent), flip(child)]);
  expect(both.problems).toEqual([]);
  expect(both.notes).toContain(`${said}, unless the plan sets that flag first`);
  await features('POST', `/${parent}/environments/development/strategies`, {
    name: 'flexibleRollout',
    parameters: { rollout: '30', groupId: 'g', stickiness: 'default' },
  });
  await features('POST', `/${parent}/environments/development/on`);
  const narrowed = await check([flip(child)]);
  expect(narrowed.problems).toEqual([]);
  expect(narrowed.notes).toContain(`flag ${child} is seen only by whom "${parent}" (30 %) lets in too`);
});
