import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkPlan, checkPlanText, formatProblems, PlanError, readPlan, readPlanValue } from './index.ts';

const GOOD = readFileSync(join(import.meta.dirname, '../../../test/plans/good/every-kind.yaml'), 'utf8');
const good = (): Record<string, unknown> => parse(GOOD, { version: '1.2' }) as Record<string, unknown>;

/** Every place of a value, as the way to it. */
function placesOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  const entries = Array.isArray(value) ? value.map((item, i) => [i, item] as const) : Object.entries(value);
  return [path, ...entries.flatMap(([key, child]) => placesOf(child, [...path, key]))];
}

function replaced(value: unknown, [key, ...rest]: (string | number)[], by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value)) return value.map((item, i) => (i === key ? replaced(item, rest, by) : item));
  return { ...(value as object), [key]: replaced((value as Record<string, unknown>)[key], rest, by) };
}

const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withTypedArray: true,
  withNullPrototype: true,
});

const told = (text: string): string => {
  const reading = readPlan(text);
  return reading.ok ? '' : formatProblems(reading.problems);
};

describe('reading', { timeout: 60_000 }, () => {
  it('never throws, whatever the text, and every problem has its place', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.json()), async (text) => {
        const check = await checkPlanText(text);
        expect(check.ok).toBe(false);
        expect(check.problems.length).toBeGreaterThan(0);
      }),
      { numRuns: 100 },
    );
  });

  it('never throws on bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(readPlan(bytes).ok).toBe(false);
      }),
    );
  });

  it('never throws on a plan with a piece cut out or put in, and points into the text', async () => {
    const lines = (text: string): number => text.split('\n').length;
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: GOOD.length }),
        fc.nat({ max: 40 }),
        fc.oneof(
          fc.constantFrom(
            '',
            ' ',
            '\t',
            '\n',
            '- ',
            ': ',
            '"',
            "'",
            '{',
            ']',
            '*a',
            '&a ',
            '!t ',
            '#',
            '|',
            '>',
            '0',
            '.nan',
          ),
          fc.string(),
        ),
        async (at, length, piece) => {
          const text = GOOD.slice(0, at) + piece + GOOD.slice(at + length);
          const check = await checkPlanText(text);
          for (const { line, column } of check.problems) {
            expect(line ?? 1).toBeLessThanOrEqual(lines(text));
            expect(column ?? 1).toBeGreaterThan(0);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('never throws, whatever the value', async () => {
    await fc.assert(
      fc.asyncProperty(anything, async (value) => {
        expect((await checkPlan(value)).ok).toBe(false);
      }),
    );
  });

  it('never throws on a plan of which one value is anything', async () => {
    const places = placesOf(good());
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), fc.oneof(anything, fc.jsonValue()), async (place, value) => {
        const check = await checkPlan(replaced(good(), place, value));
        expect(check.ok || formatProblems(check.problems) !== '').toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('tells every problem of a plan, not those of its first bad step', async () => {
    const plan = replaced(
      replaced(good(), ['spec', 'phases', 0, 'steps', 0, 'uses'], 'dll'),
      ['metadata', 'version'],
      '1',
    );
    const paths = (await checkPlan(plan)).problems.map((problem) => problem.path);
    expect(paths).toEqual(['metadata.version', 'spec.phases[0].steps[0].uses']);
  });

  it('fills defaults in without changing the digest', () => {
    const reading = readPlanValue(good());
    expect(reading.ok && reading.plan.spec.phases[0]?.steps[1]).toMatchObject({
      lockTimeout: '1s',
      killBlockers: false,
    });
    expect(reading.ok && reading.given).toEqual(good());
  });

  it('takes an undefined key for one that is not there, as JSON does', async () => {
    const check = await checkPlan({ ...good(), extra: undefined });
    expect(check.ok && check.digest).toBe((await checkPlan(good())).digest);
  });

  it('reads at most 512 KiB, counted with aliases expanded', () => {
    const long = `# ${'x'.repeat(512 * 1024)}\n`;
    expect(told(long)).toContain('more than 524288 (512 KiB)');
    const many = `a: &a ${'x'.repeat(10_000)}\nb: [${Array.from({ length: 60 }, () => '*a').join(', ')}]\n`;
    expect(told(many)).toContain('aliases');
  });
});

describe('PlanError', () => {
  it('carries the first place, and is Unsupported only when nothing else is wrong', async () => {
    const { problems } = await checkPlanText('apiVersion: switchback/v2\n');
    const error = new PlanError(problems, { file: 'plan.yaml' });
    expect(error.code).toBe('PlanInvalid');
    expect(error.retry).toBe(false);
    expect(error.message).toContain('plan.yaml:1:13  apiVersion: expected "switchback/v1"');
    expect(error.fields).toMatchObject({ path: 'kind', line: 1, column: 1, problems: 4 });
    const unsupported = problems.map((problem) => ({ ...problem, code: 'Unsupported' as const }));
    expect(new PlanError(unsupported).code).toBe('Unsupported');
  });
});
