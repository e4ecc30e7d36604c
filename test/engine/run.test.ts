import { expect, test } from 'vitest';
import { planOf, startEngine } from '../harness/engine.ts';

test('a plan of checks, a wait and an approval runs to its end; the same plan again has nothing to do', async () => {
  const engine = await startEngine({ databases: ['app'], approvers: { dba: ['ana@example.com'] } });
  const name = engine.name('smoke');
  const sql = { database: 'app', query: 'select 1', max: 1 };
  const plan = planOf(name, [
    {
      name: 'one',
      steps: [{ id: 'look', uses: 'check', name: 'one is one', sql }],
      preconditions: [{ name: 'pre', sql }],
    },
    {
      name: 'two',
      approval: 'after',
      steps: [
        { id: 'rest', uses: 'wait', for: '500ms' },
        { id: 'ask', uses: 'approval', needs: ['rest'], roles: ['dba'] },
      ],
    },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: 'dev@example.com' });
  for await (const status of handle.watch()) {
    if (status.gates.some((gate) => gate.gate === 'two/ask' && gate.state === 'open')) break;
  }
  const refused = await handle.approve({ gate: 'two/ask', by: 'eve@example.com' });
  expect(refused).toMatchObject({ accepted: false });
  expect(await handle.approve({ gate: 'two/ask', by: 'ana@example.com' })).toMatchObject({ accepted: true });
  for await (const status of handle.watch()) {
    if (status.gates.some((gate) => gate.gate === 'two/after' && gate.state === 'open')) break;
  }
  expect(await handle.approve({ by: 'anyone@example.com' })).toMatchObject({ accepted: true });
  expect(await handle.result()).toMatchObject({ name, outcome: 'completed' });
  const again = await engine.switchback.start(plan, { requestedBy: 'dev@example.com' });
  expect(await again.result()).toMatchObject({ outcome: 'nothing-to-do' });
});
