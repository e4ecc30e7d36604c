import { describe, expect, test } from 'vitest';
import { exposureOf as engineExposureOf, type FlagState } from '../adapters/unleash/flag-state.ts';
import type { Stage } from './stage.ts';
import { footingOf, type Known, stageOf } from './stage-now.ts';
import { exposureOf } from './unleash-flags.ts';

const settings = { minimumStage: null, bootstrap: null, on: 'live' } as const;
const known: Known = { ledger: true, answered: true, row: null, exposure: 0 };
const row = (stage: Stage, generation = 3) => ({ stage, generation });

describe('the footing', () => {
  test.each<[string, Partial<typeof settings> | object, Partial<Known>, object | null]>([
    ['the row says it', {}, { row: row('shadow') }, { stage: 'shadow', generation: 3, asAsked: true }],
    ['no row is off', {}, {}, { stage: 'off', generation: 0, asAsked: true }],
    [
      'no row is the minimum, whatever it started with',
      { minimumStage: 'dual-write', bootstrap: 'live' },
      {},
      { stage: 'dual-write', asAsked: true },
    ],
    [
      'never below the minimum, and that is told',
      { minimumStage: 'live' },
      { row: row('off') },
      { stage: 'live', asAsked: false },
    ],
    ['nobody has answered', {}, { answered: false }, null],
    [
      'nobody has answered: the bootstrap',
      { bootstrap: 'live' },
      { answered: false },
      { stage: 'live', generation: 0 },
    ],
    ['nobody has answered: the minimum', { minimumStage: 'complete' }, { answered: false }, { stage: 'complete' }],
    ['no ledger, flags unknown', { bootstrap: 'shadow' }, { ledger: false, answered: false }, { stage: 'shadow' }],
    ['no ledger, flags known', { bootstrap: 'shadow' }, { ledger: false }, { stage: 'off' }],
    ['the flag is asked below `on`', {}, { row: row('shadow'), exposure: 5 }, { asksFlag: true }],
    ['not at it', {}, { row: row('live'), exposure: 5 }, { asksFlag: false }],
    ['not where it lets nobody in', {}, { row: row('shadow') }, { asksFlag: false }],
    ['without a ledger a variant may say any stage', {}, { ledger: false, exposure: 100 }, { asksFlag: true }],
  ])('%s', (_, given, more, expected) => {
    const footing = footingOf({ ...settings, ...given }, { ...known, ...more });
    if (expected === null) expect(footing).toBeNull();
    else expect(footing).toMatchObject(expected);
  });
});

test.each<[Stage, { on: boolean; variant: string | null }, boolean, Stage]>([
  ['dual-write', { on: false, variant: null }, true, 'dual-write'],
  ['dual-write', { on: true, variant: null }, true, 'live'],
  ['ramp-down', { on: true, variant: null }, true, 'ramp-down'],
  ['dual-write', { on: true, variant: 'blue' }, true, 'live'],
  ['dual-write', { on: true, variant: 'complete' }, true, 'dual-write'],
  ['dual-write', { on: true, variant: 'complete' }, false, 'complete'],
  ['live', { on: true, variant: 'shadow' }, false, 'live'],
  ['off', { on: false, variant: 'complete' }, false, 'off'],
])('at %s with %o, ledger %s: %s', (floor, answer, ledger, expected) => {
  expect(stageOf(floor, answer, { on: 'live', ledger })).toBe(expected);
});

describe('exposure is what the engine computes from what it wrote', () => {
  const strategy = (name: string, rollout?: string, disabled = false) => ({
    ...{ id: null, name, title: '', disabled, sortOrder: 0, constraints: [], segments: [], variants: [] },
    parameters: (rollout === undefined ? {} : { rollout }) as Record<string, string>,
  });
  const gradual = (rollout: string, disabled?: boolean) => strategy('flexibleRollout', rollout, disabled);
  test.each([
    [false, [gradual('40')], 0],
    [true, [gradual('40')], 40],
    [true, [gradual('40'), strategy('default', undefined, true)], 40],
    [true, [gradual('40'), gradual('50')], 100],
    [true, [strategy('userWithId')], 100],
    [true, [gradual('0')], 0],
    [true, [], 100],
  ])('enabled %s', (enabled, strategies, expected) => {
    expect(exposureOf({ enabled, strategies })).toBe(expected);
    const state: FlagState = { exists: true, archived: false, enabled, strategies, variants: [], elsewhere: [] };
    expect(engineExposureOf(state)).toBe(expected);
  });
  test('of no flag it is 0', () => expect(exposureOf(undefined)).toBe(0));
});
