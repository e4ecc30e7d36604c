import { expect, test } from 'vitest';
import { checkPlan } from '../plan/file/index.ts';
import { windowOutlook } from './window-outlook.ts';

const check = (id: string) => ({ id, uses: 'check', name: id, sql: { database: 'home', query: 'select 1', max: 1 } });

test('steps of which the same is said are told together; people and clocks need no window', async () => {
  const { plan } = await checkPlan({
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'outlook', version: 1, owner: 'team-test' },
    spec: {
      summary: 'windows',
      risk: 'low',
      policies: {
        windows: [
          { allow: 'DTSTART;TZID=Europe/Oslo:20260101T010000\nRRULE:FREQ=DAILY', duration: '5h', applies: ['check'] },
          { deny: 'over', from: '2026-01-01', to: '2026-01-01', applies: ['wait'] },
          { allow: 'DTSTART:20260101T010000Z\nRRULE:FREQ=DAILY;COUNT=1', duration: '5h', applies: ['call'] },
        ],
      },
      phases: [
        {
          name: 'one',
          steps: [
            check('first'),
            { id: 'rest', uses: 'wait', for: '1h' },
            { id: 'act', uses: 'call', taskQueue: 'team', activity: 'act' },
            check('second'),
          ],
        },
      ],
    },
  });
  if (plan === null) throw new Error('the plan is wrong');
  expect(windowOutlook(plan, new Date('2026-11-30T12:00:00Z'))).toEqual([
    {
      steps: ['first', 'second'],
      open: false,
      changesAt: '2026-12-01T00:00:00.000Z',
      why: 'outside of the windows that allow it; may go next at 2026-12-01T00:00:00Z (01:00 Europe/Oslo)',
    },
    { steps: ['rest'], open: true, changesAt: null, why: 'no window closes it' },
    {
      steps: ['act'],
      open: false,
      changesAt: null,
      why: 'outside of the windows that allow it; no window opens again',
    },
  ]);
});
