import { expect, test } from 'vitest';
import { readPlanValue } from './file/read.ts';

const usage = (flag: string, more: object = {}) => ({ name: 'c', flagUsage: { flag, max: 0, ...more } });

test('conditions on the usage of a flag get its environment, wherever they stand', () => {
  const reading = readPlanValue({
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'a', version: 1, owner: 'o' },
    spec: {
      summary: 's',
      flags: { ours: { environment: 'production' } },
      phases: [
        {
          name: 'p',
          preconditions: [usage('ours')],
          exitCriteria: [usage('another')],
          guards: [usage('ours', { environment: 'staging' })],
          steps: [
            { id: 'w', uses: 'wait', for: '1s', when: usage('ours'), guards: [usage('ours')] },
            { id: 'c', uses: 'check', ...usage('ours') },
          ],
        },
      ],
    },
  });
  if (!reading.ok) throw new Error('the plan is wrong');
  const found = [...JSON.stringify(reading.plan).matchAll(/"flagUsage":\{[^}]*"environment":"(\w+)"/g)].map(
    (match) => match[1],
  );
  expect(found.toSorted()).toEqual(['development', 'production', 'production', 'production', 'production', 'staging']);
});
