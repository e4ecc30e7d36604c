import { expect, test } from 'vitest';
import type { Plan } from '../plan/index.ts';
import { checkText } from './check-text.ts';

const plan = { metadata: { name: 'split', version: 1 }, spec: { phases: [] } } as unknown as Plan;

test('what the gates of rollouts need stands with the plan, wrapped to the screen, also where no server is asked', () => {
  const bakes = [
    {
      phase: 'rollout',
      step: 'ramp',
      stop: 1,
      at: '5 %',
      bake: '15m',
      share: 0.05,
      seeBad: 743,
      pass: [],
      words: ['a doubled error rate shows by 743 bad requests: about 71,000 requests at 1 % (4,700 a minute)'],
    },
  ];
  const report = {
    path: 'plan.yaml',
    plan,
    digest: 'd',
    gates: [],
    windows: [],
    live: { skipped: 'left out' },
    sarif: null,
  };
  expect(checkText({ ...report, bakes }, { width: 70, color: false })).toMatchInlineSnapshot(`
    "plan.yaml: fine
      split version 1, 0 phases, 0 steps
      gates: none
      digest: d
    bakes: what the gates of rollouts need (docs/gates.md)
      rollout/ramp, stop 1: 5 %, bakes 15m
        a doubled error rate shows by 743 bad requests: about 71,000
        requests at 1 % (4,700 a minute)
    live: not checked: left out"
  `);
  expect(checkText({ ...report, bakes: [] }, { width: 70, color: false })).not.toContain('bakes');
});
