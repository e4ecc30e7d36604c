import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationHandle } from '../../src/client/index.ts';
import { MESSAGE_NAMES, type Status, workflowIdOf } from '../../src/messages/index.ts';
import { launchChromium } from '../harness/chromium.ts';
import { type Engine, planOf, startEngine } from '../harness/engine.ts';
import { servers } from '../harness/servers.ts';
import { Operator } from './operator.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(async () => {
  await browser.close();
});

/** A browser on a busy machine. */
const SLOW = { timeout: 180_000 };
const sql = { database: 'app', query: 'select 1', max: 1 };
const DBA = 'ana@example.com';
const engineWithDba = (): Promise<Engine> =>
  startEngine({ databases: ['app'], approvers: { dba: [DBA] }, unleash: true });

/** The first status of which it is true. */
async function reached(handle: MigrationHandle, is: (status: Status) => boolean): Promise<Status> {
  for await (const status of handle.watch({ intervalMs: 100 })) if (is(status)) return status;
  throw new Error('the migration ended without it');
}

/** Whether a flag is on, in the environment that plans take; null where there is none of that name. */
async function flagIsOn(flag: string): Promise<boolean | null> {
  const { url, adminToken } = servers().unleash;
  const response = await fetch(`${url}/api/admin/projects/default/features/${flag}`, {
    headers: { authorization: adminToken },
  });
  if (response.status === 404) return null;
  const { environments } = (await response.json()) as { environments: { name: string; enabled: boolean }[] };
  return environments.find(({ name }) => name === 'development')?.enabled ?? null;
}

test(
  'a person finds a migration by its search attributes, reads what it waits for, and approves with the payload shown',
  SLOW,
  async () => {
    const engine = await engineWithDba();
    const name = engine.name('split-full-name');
    const owner = `team-${name}`;
    const plan = planOf(
      name,
      [
        {
          name: 'expand',
          approval: 'after',
          steps: [
            { id: 'replicas', uses: 'check', name: 'Replicas are fine', sql },
            { id: 'names-on', uses: 'flag', flag: name, enabled: true, needs: ['replicas'] },
          ],
        },
        {
          name: 'contract',
          steps: [
            {
              id: 'samples',
              uses: 'approval',
              roles: ['dba'],
              expiresAfter: '1h',
              details: 'Compare *ten samples* first:\n\n- `full_name` empty\n- one word',
            },
          ],
        },
      ],
      {
        summary: 'Split users.full_name into first_name and last_name',
        risk: 'high',
        services: { accounts: {}, billing: {} },
        flags: { [name]: { type: 'release' } },
        policies: { approvals: [{ risk: 'high', roles: ['dba'], min: 1, notRequester: true }] },
      },
    );
    plan.metadata.owner = owner;
    const handle = await engine.switchback.start(plan, { requestedBy: 'dev@example.com' });
    await reached(handle, ({ status }) => status === 'awaiting-approval');

    const operator = await Operator.arrive(browser);
    await operator.filter('SwitchbackStatus', 'awaiting-approval');
    await operator.filter('SwitchbackOwner', owner);
    expect(await operator.listed(1)).toEqual([workflowIdOf(name)]);
    await operator.picture('1-found-by-search-attributes');
    await operator.query(
      `SwitchbackOwner = "${owner}" AND SwitchbackPhase = "expand" AND SwitchbackRisk = "high" AND SwitchbackServices = "billing"`,
    );
    await operator.open(workflowIdOf(name));

    const details = await operator.currentDetails('Approval needed: expand/after');
    await operator.picture('2-awaiting-approval');
    expect(await details.innerText()).toContain(
      '0 of 1 given. The role dba may approve, but not dev@example.com, who started it.',
    );

    const data = await Operator.payloadFor(details, 'approve', DBA);
    const dialog = await operator.fillSignal({ name: 'approve', data });
    await operator.picture('3-approve-filled-in');
    await operator.submit(dialog);
    await reached(handle, ({ gates }) =>
      gates.some(({ gate, state }) => gate === 'contract/samples' && state === 'open'),
    );

    const next = await operator.currentDetails('Approval needed: contract/samples');
    await operator.picture('4-next-gate-with-the-plans-own-words');
    expect(await next.getByRole('listitem').allInnerTexts()).toEqual(['full_name empty', 'one word']);
    await operator.send({ name: 'approve', data: await Operator.payloadFor(next, 'approve', DBA) });
    expect(await handle.result()).toMatchObject({ outcome: 'completed' });

    await operator.currentDetails('every phase is done');
    await operator.picture('5-completed');
    await operator.tab('History');
    await operator.page.getByText('flag names-on').first().waitFor();
    await operator.page.getByText('contract/samples expires').first().waitFor();
    await operator.picture('6-history-with-summaries');
  },
);

test('a person aborts a rollout with the payload shown: the flag is as it was before', SLOW, async () => {
  const engine = await engineWithDba();
  const name = engine.name('ramp');
  const plan = planOf(
    name,
    [
      { name: 'prepare', steps: [{ id: 'replicas', uses: 'check', name: 'Replicas are fine', sql }] },
      {
        name: 'expose',
        steps: [{ id: 'ramp', uses: 'rollout', flag: name, ramp: [{ percent: 5, bake: '20m' }, { percent: 100 }] }],
      },
    ],
    { flags: { [name]: { type: 'release' } } },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: 'dev@example.com' });
  await expect.poll(() => flagIsOn(name), { timeout: 15_000 }).toBe(true);

  const operator = await Operator.arrive(browser);
  await operator.filter('SwitchbackOwner', 'team-test');
  await operator.filter('SwitchbackPhase', 'expose');
  await operator.open(workflowIdOf(name));
  await operator.tab('Pending Activities');
  await operator.page.getByText('at 5 %, bakes').waitFor();
  await operator.picture('7-rollout-runs-live-figures');

  const details = await operator.currentDetails('ramp runs');
  await operator.picture('8-rollout-runs');
  const data = (await Operator.payloadFor(details, 'abort', DBA)).replace('why', 'p99 is up');
  await operator.send({ name: 'abort', data });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await flagIsOn(name)).not.toBe(true);

  await operator.currentDetails(`aborted by ${DBA}: p99 is up`);
  await operator.picture('9-rolled-back');
});

test('what people send by mistake or malice is refused and shown; the run stands and goes on', SLOW, async () => {
  const engine = await engineWithDba();
  const name = engine.name('stands');
  const handle = await engine.switchback.start(
    planOf(name, [
      { name: 'only', approval: 'after', steps: [{ id: 'look', uses: 'check', name: 'one is one', sql }] },
    ]),
    { requestedBy: 'dev@example.com' },
  );
  await reached(handle, ({ status }) => status === 'awaiting-approval');
  const operator = await Operator.arrive(browser);
  await operator.filter('WorkflowId', workflowIdOf(name));
  await operator.open(workflowIdOf(name));
  await operator.currentDetails('Approval needed');

  for (const kind of ['Signal', 'Update'] as const) {
    const dialog = await operator.chooseAmong(kind);
    for (const message of MESSAGE_NAMES) {
      await dialog.getByRole('option', { name: new RegExp(`^${message} [A-Z].*Payload: \\{`) }).waitFor();
    }
    await operator.picture(`10-every-${kind.toLowerCase()}`);
    await dialog.getByRole('option', { name: /^approve / }).click();
    await operator.cancel(dialog);
  }

  // The UI itself doesn't let through what isn't JSON.
  const dialog = await operator.fillSignal({ name: 'approve', data: '{"by":' });
  await dialog.getByText('Input must be valid JSON').waitFor();
  await operator.picture('11-not-json');
  await operator.cancel(dialog);

  await operator.send({ name: 'approve', data: '' });
  await operator.send({ name: 'approve', data: '["me"]' });
  await operator.send({ name: 'approve', data: '{"by":"me"}', messageType: 'acme.Approval' });
  await operator.send({ name: 'nonsense', data: '{"a":"<b>*x*</b> | `y`"}', custom: true });
  await operator.send({ name: '__temporal_nonsense', data: '1', custom: true });
  const typed = await reached(handle, ({ refused }) => refused.length >= 5);
  expect(typed.status).toBe('awaiting-approval');
  const first = await operator.currentDetails('there is no signal of that name');
  await operator.picture('12-refused-what-was-typed');
  const shown = await first.getByRole('listitem').allInnerTexts();
  for (const [index, words] of [
    'approve: the payload is empty',
    'approve ["me"]: the payload must be a JSON object, not an array',
    'approve (11 bytes): the payload can’t be read (Unknown encoding: json/protobuf)',
    'nonsense {"a":"<b>*x*</b> | \'y\'"}: there is no signal of that name; there are: approve, reject',
    '__temporal_nonsense 1: that name is reserved by Temporal',
  ].entries()) {
    expect(shown[index]).toContain(words);
  }

  // What no one can type: it comes from other programs.
  await signalRaw(engine, name, 'approve', [{ data: Buffer.from('{"by":') }]);
  await signalRaw(engine, name, 'approve', [
    { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{') },
  ]);
  await signalRaw(engine, name, 'abort', [
    { metadata: { encoding: Buffer.from('binary/plain') }, data: Buffer.from([0, 255]) },
  ]);
  await signalRaw(engine, name, 'abort', [
    { metadata: { encoding: Buffer.from('json/protobuf'), messageType: Buffer.from('x') }, data: Buffer.from([1]) },
  ]);
  await signalRaw(engine, name, '__temporal_reserved', [{ metadata: {}, data: Buffer.from([7]) }]);
  const sent = await reached(handle, ({ refused }) => refused.length >= 10);
  expect(sent.status).toBe('awaiting-approval');
  const second = await operator.currentDetails('and 5 earlier');
  await operator.picture('13-refused-what-was-sent');
  const lines = (await second.getByRole('listitem').allInnerTexts()).join('\n');
  for (const words of [
    'it has no encoding',
    'Expected property name',
    'it is binary',
    'Unknown encoding: json/protobuf',
  ]) {
    expect(lines).toContain(`the payload can’t be read (${words}`);
  }
  expect(lines).toContain('__temporal_reserved (1 byte): that name is reserved by Temporal');

  await operator.send({ name: 'approve', data: await Operator.payloadFor(second, 'approve', DBA) });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});

const signalRaw = (
  engine: Engine,
  migration: string,
  signalName: string,
  payloads: { metadata?: Record<string, Uint8Array>; data: Uint8Array }[],
): Promise<unknown> =>
  engine.client.connection.workflowService.signalWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: workflowIdOf(migration) },
    signalName,
    input: { payloads },
  });
