import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, digestOf, jsonFault } from './json.ts';

/** The same value with the keys of every mapping in another order. */
function shuffled(value: unknown, seed: number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, seed));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, child]) => [key, shuffled(child, seed)] as const);
  const turned = seed % 2 === 0 ? entries.toReversed() : [...entries.slice(1), ...entries.slice(0, 1)];
  return Object.fromEntries(turned);
}

describe('canonical JSON', () => {
  it('is what the examples of RFC 8785 say', () => {
    // Section 3.2.2, the sample object and its canonical form.
    const sample =
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
      '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}';
    expect(canonicalJson(JSON.parse(sample))).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
    // Section 3.2.3: keys in the order of their UTF-16 units, so that an emoji comes before U+FB33.
    const keys = { '€': 1, '\r': 2, \ufb33: 3, '1': 4, '😀': 5, '\u0080': 6, ö: 7 };
    expect(canonicalJson(keys)).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}');
  });

  it('reads back as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('has no form for what JSON does not have', () => {
    for (const value of [undefined, Number.NaN, Number.POSITIVE_INFINITY, () => 1]) {
      expect(() => canonicalJson(value)).toThrow(TypeError);
    }
  });
});

describe('digest', () => {
  it('is the sha256 of the canonical form, in hex', () => {
    expect(digestOf({ b: 1, a: [1.0, -0] })).toBe('c16f2ca06a00e84e71b99d589dfd80d98d134494931b64d90a89589d8d317c6f');
  });

  it('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(), (value, seed) => {
        expect(digestOf(shuffled(value, seed))).toBe(digestOf(value));
      }),
    );
  });

  it('differs where the values differ', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        fc.pre(canonicalJson(a) !== canonicalJson(b));
        expect(digestOf(a)).not.toBe(digestOf(b));
      }),
    );
    expect(digestOf({ version: '1' })).not.toBe(digestOf({ version: 1 }));
    expect(digestOf(['a', 'b'])).not.toBe(digestOf(['b', 'a']));
  });
});

describe('what JSON can hold', () => {
  it('finds nothing in JSON, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        fc.pre(!JSON.stringify(value).includes('\\u0000') && !JSON.stringify(value).includes('__proto__'));
        fc.pre(canonicalJson(value).isWellFormed() && !/\\ud[89a-f]/i.test(JSON.stringify(value)));
        expect(jsonFault(value)).toBeNull();
      }),
    );
  });

  it('names the place of what is not', () => {
    expect(jsonFault({ a: [1, { b: () => 1 }] })).toEqual({ path: ['a', 1, 'b'], message: 'a function is not JSON' });
    expect(jsonFault({ a: undefined })).toBeNull();
    expect(jsonFault({ at: new Date(0) })?.message).toBe('a Date is not JSON');
  });
});
