import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ABSENT,
  differences,
  exposureOf,
  type FlagState,
  type FlagStrategy,
  isBetween,
  withEnabled,
  withPercent,
  withVariant,
} from './flag-state.ts';

const our = { title: 'Switchback: m', groupId: 'f', stickiness: 'userId' };
const strategyOf = (id: string, more: Partial<FlagStrategy> = {}): FlagStrategy => ({
  id,
  name: 'default',
  title: '',
  disabled: false,
  sortOrder: 0,
  constraints: [],
  parameters: {},
  segments: [],
  variants: [],
  ...more,
});
const flagOf = (strategies: FlagStrategy[], more: Partial<FlagState> = {}): FlagState => ({
  ...ABSENT,
  exists: true,
  enabled: true,
  strategies,
  ...more,
});
const active = (state: FlagState) => state.strategies.filter((strategy) => !strategy.disabled);

const states = fc.oneof(
  fc.constant(ABSENT),
  fc
    .record({
      enabled: fc.boolean(),
      archived: fc.boolean(),
      strategies: fc.uniqueArray(
        fc.record({ id: fc.stringMatching(/^[a-e]$/), disabled: fc.boolean(), sortOrder: fc.nat(3) }),
        { selector: ({ id }) => id, maxLength: 4 },
      ),
    })
    .map(({ strategies, ...more }) =>
      flagOf(
        strategies.map((one) => strategyOf(one.id, one)),
        more,
      ),
    ),
);

describe('what a change makes of a state', () => {
  test('a percentage leaves exactly our strategy active, whatever was there', () => {
    fc.assert(
      fc.property(states, fc.nat(100), (state, percent) => {
        const after = withPercent(state, percent, our);
        expect(active(after).map((strategy) => strategy.parameters)).toEqual([
          { rollout: String(percent), groupId: 'f', stickiness: 'userId' },
        ]);
        expect(after).toMatchObject({ exists: true, archived: false, enabled: true });
        expect(after.strategies).toHaveLength(state.strategies.length + 1);
      }),
    );
  });

  test('a second one changes our strategy and adds none', () => {
    fc.assert(
      fc.property(states, fc.nat(100), fc.nat(100), (state, first, second) => {
        expect(withPercent(withPercent(state, first, our), second, our)).toEqual(withPercent(state, second, our));
      }),
    );
  });

  test('a percentage after a variant keeps the variant', () => {
    const variant = withVariant(ABSENT, { name: 'new', percent: 5 }, our);
    expect(active(withPercent(variant, 25, our))[0]?.variants).toMatchObject([{ name: 'new' }]);
  });

  test('on keeps the strategies; only where none is active does ours let everybody in', () => {
    const testers = flagOf([strategyOf('a')], { enabled: false });
    expect(withEnabled(testers, true, our)).toEqual({ ...testers, enabled: true });
    expect(active(withEnabled(flagOf([strategyOf('a', { disabled: true })]), true, our))).toMatchObject([
      { parameters: { rollout: '100' } },
    ]);
    expect(withEnabled(testers, false, our)).toEqual(testers);
  });
});

describe('exposureOf', () => {
  test('is what a percentage set, and nothing where the flag is off, archived or missing', () => {
    fc.assert(
      fc.property(states, fc.nat(100), (state, percent) => {
        const set = withPercent(state, percent, our);
        expect(exposureOf(set)).toBe(percent);
        expect(exposureOf(withVariant(state, { name: 'shadow', percent }, our))).toBe(percent);
        expect([{ ...set, enabled: false }, { ...set, archived: true }, ABSENT].map(exposureOf)).toEqual([0, 0, 0]);
      }),
    );
  });

  test('is everybody where no one percentage says who is let in', () => {
    const rollout = strategyOf('a', { name: 'flexibleRollout', parameters: { rollout: '25' } });
    expect(exposureOf(flagOf([rollout, strategyOf('b', { disabled: true })]))).toBe(25);
    expect(exposureOf(flagOf([rollout, strategyOf('b', { name: 'userWithId' })]))).toBe(100);
    expect(exposureOf(flagOf([{ ...rollout, id: 'c' }, rollout]))).toBe(100);
    expect(exposureOf(flagOf([strategyOf('b')]))).toBe(100);
    expect(exposureOf(flagOf([]))).toBe(100);
  });
});

describe('differences', () => {
  test('a state does not differ from itself, nor from one that others use elsewhere', () => {
    fc.assert(
      fc.property(states, (state) => {
        expect(
          differences(state, {
            ...structuredClone(state),
            elsewhere: [{ environment: 'production', enabled: true, strategies: 1 }],
          }),
        ).toEqual([]);
      }),
    );
  });

  test('are said in words, without values that may name people', () => {
    const before = flagOf([strategyOf('a', { title: 'testers', parameters: { rollout: '5' } }), strategyOf('b')]);
    const after = flagOf(
      [
        strategyOf('a', {
          title: 'testers',
          parameters: { rollout: '50' },
          constraints: [{ contextName: 'userId', operator: 'IN', values: ['ana@example.com'] }],
        }),
        strategyOf('c', { name: 'remoteAddress', sortOrder: 7 }),
      ],
      { enabled: false },
    );
    expect(differences(before, after)).toEqual([
      'it is off, not on',
      'strategy default is missing',
      'strategy remoteAddress was added',
      'strategy "testers" (default) lets in 50 %, not 5 %',
      'strategy "testers" (default) has other constraints',
    ]);
    expect(differences(ABSENT, after)).toEqual(['the flag exists']);
    expect(differences(after, ABSENT)).toEqual(['the flag does not exist']);
  });
});

describe('isBetween', () => {
  const change = (state: FlagState) => withPercent(state, 25, our);

  test('either end is, and so is every mixture of their strategies', () => {
    fc.assert(
      fc.property(states, fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), (from, picks) => {
        const to = change(from);
        expect([isBetween(from, to, from), isBetween(from, to, to)]).toEqual([true, true]);
        const mixed = to.strategies.flatMap((strategy, index) => {
          const earlier = from.strategies.find((one) => one.id === strategy.id);
          return picks[index] ? [strategy] : earlier === undefined ? [] : [earlier];
        });
        expect(isBetween(from, to, { ...to, enabled: from.exists ? from.enabled : false, strategies: mixed })).toBe(
          true,
        );
      }),
    );
  });

  test('what somebody else did is not', () => {
    const from = flagOf([strategyOf('a')]);
    const to = change(from);
    expect(isBetween(from, to, ABSENT)).toBe(false);
    expect(isBetween(from, to, { ...from, enabled: false })).toBe(false);
    expect(isBetween(from, to, { ...from, archived: true })).toBe(false);
    expect(isBetween(from, to, { ...from, variants: [{ name: 'v' }] })).toBe(false);
    expect(isBetween(from, to, flagOf([strategyOf('a'), strategyOf('z', { name: 'userWithId' })]))).toBe(false);
    expect(isBetween(from, to, withPercent(from, 90, our))).toBe(false);
  });
});
