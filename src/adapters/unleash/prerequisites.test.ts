import { describe, expect, test } from 'vitest';
import { ABSENT, type FlagState, withPercent, withVariant } from './flag-state.ts';
import { keptOffBy, narrowedBy, type Prerequisite } from './prerequisites.ts';

const our = { title: 't', groupId: 'g', stickiness: 'default' };
const at = (percent: number): FlagState => withPercent(ABSENT, percent, our);
const off: FlagState = { ...at(100), enabled: false };
const asks = (parent: FlagState, more: Partial<Prerequisite> = {}): Prerequisite[] => [
  { feature: 'Y', enabled: true, variants: [], parent, ...more },
];
const kept = (parent: FlagState, more: Partial<Prerequisite> = {}) =>
  keptOffBy('X', 'production', asks(parent, more)).join();

describe('keptOffBy', () => {
  test('a flag that must be on', () => {
    expect(kept(at(1))).toBe('');
    expect(kept(off)).toBe('flag "X" depends on "Y", which is off in environment production');
    expect(kept(at(0))).toBe('flag "X" depends on "Y", which lets nobody in, in environment production');
    expect(kept(ABSENT)).toBe('flag "X" depends on "Y", which does not exist');
    const grandparent = [{ feature: 'Z', enabled: true, variants: [] }];
    expect(kept({ ...at(100), dependencies: grandparent })).toContain('which depends on another flag itself');
    expect(kept({ ...at(5), archived: true })).toBe('flag "X" depends on "Y", which is archived');
  });

  test('a flag that must be off, and is on for everybody or only for some', () => {
    const must = { enabled: false };
    expect(kept(off, must)).toBe('');
    expect(kept(at(99), must)).toBe('');
    expect(kept(at(100), must)).toBe(
      'flag "X" depends on "Y" being off, which is on for everybody in environment production',
    );
    const [strategy] = at(100).strategies;
    const chosen = { ...at(100), strategies: [{ ...strategy, constraints: [{ values: ['ana'] }] }] } as FlagState;
    expect(kept(chosen, must)).toBe('');
    // Clients take a flag that is missing for a dependency that isn't met, also where it should be off.
    expect(kept(ABSENT, must)).toContain('which does not exist');
  });

  test('a flag that must give a variant', () => {
    const must = { variants: ['a', 'b'] };
    expect(kept(withVariant(ABSENT, { name: 'b', percent: 5 }, our), must)).toBe('');
    expect(kept(withVariant(ABSENT, { name: 'c', percent: 5 }, our), must)).toBe(
      'flag "X" depends on "Y" being on with variant a or b, which gives only c in environment production',
    );
    expect(kept(at(5), must)).toContain('which gives no variant');
  });
});

test('narrowedBy names flags that let in some only', () => {
  expect(narrowedBy('X', asks(at(100)))).toBeNull();
  expect(narrowedBy('X', asks(at(30)))).toBe('flag X is seen only by whom "Y" (30 %) lets in too');
});
