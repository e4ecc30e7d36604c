import { readdirSync, readFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkPlan, checkPlanText, formatProblems, readPlan } from './index.ts';

const PLANS = join(import.meta.dirname, '../../../test/plans');
const plansIn = (folder: string): string[] =>
  readdirSync(join(PLANS, folder)).filter((name) => /\.(yaml|json)$/.test(name) && !name.endsWith('.expected.json'));
const bad = plansIn('bad');
const good = plansIn('good');
const readBytes = (...path: string[]): Buffer => readFileSync(join(PLANS, ...path));
const stem = (name: string): string => basename(name, extname(name));

describe('bad plans', () => {
  it('are at least 40, each with its expected text and no text without its plan', () => {
    const expected = readdirSync(join(PLANS, 'bad')).filter((name) => name.endsWith('.expected.txt'));
    expect(bad.length).toBeGreaterThanOrEqual(40);
    expect(expected.map((name) => name.replace('.expected.txt', '')).toSorted()).toEqual(bad.map(stem).toSorted());
  });

  it.each(bad)('%s gives its exact error', async (name) => {
    const check = await checkPlanText(readBytes('bad', name));
    expect(check.ok).toBe(false);
    const text = `${formatProblems(check.problems, { file: name })}\n`;
    expect(text).toBe(readBytes('bad', `${stem(name)}.expected.txt`).toString('utf8'));
  });

  it.each(bad.filter((name) => !/^(yaml-|not-utf8)/.test(name)))('%s gives the same as a value', async (name) => {
    const text = readBytes('bad', name).toString('utf8');
    const told = (problems: readonly { path: string; message: string }[]): string[] =>
      problems.map(({ path, message }) => `${path}: ${message.replace(/ \(line .* of the text\)$/, '')}`).toSorted();
    const asText = await checkPlanText(text);
    const asValue = await checkPlan(parse(text, { version: '1.2' }));
    expect(told(asValue.problems)).toEqual(told(asText.problems));
    expect(asValue.digest).toBe(asText.digest);
    for (const problem of asValue.problems) expect(problem.line).toBeGreaterThan(0);
  });
});

describe('good plans', () => {
  it.each(good)('%s is right, with these claims, risks and gates', async (name) => {
    const check = await checkPlanText(readBytes('good', name));
    expect(formatProblems(check.problems)).toBe('');
    const { digest, claims, risks, gates } = check;
    await expect(`${JSON.stringify({ digest, claims, risks, gates }, null, 2)}\n`).toMatchFileSnapshot(
      join(PLANS, 'good', `${stem(name)}.expected.json`),
    );
  });

  it.each(good)('%s reads the same from JSON, with the same digest', async (name) => {
    const text = readBytes('good', name);
    const fromText = readPlan(text);
    const value: unknown = parse(text.toString('utf8'), { version: '1.2' });
    const fromJson = readPlan(JSON.stringify(value));
    expect(fromText).toEqual(fromJson);
    expect(await checkPlan(value)).toEqual(await checkPlanText(text));
  });
});
