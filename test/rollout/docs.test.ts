import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { planSchema } from '../../src/plan/index.ts';

const PAGES = [
  'steps/flag',
  'steps/rollout',
  'steps/check',
  'steps/wait',
  'steps/approval',
  'steps/call',
  'conditions',
];

/** A fragment of a page, as the plan that it could stand in. */
function planAround(fragment: unknown): unknown {
  const spec = { summary: 's', phases: [{ name: 'p', steps: [{ id: 's', uses: 'wait', for: '1s' }] as unknown[] }] };
  const isSpec = typeof fragment === 'object' && fragment !== null && 'spec' in fragment;
  if (isSpec) Object.assign(spec, fragment.spec);
  else if (Array.isArray(fragment)) spec.phases[0]?.steps.splice(0, 1, ...fragment);
  else Object.assign(spec.phases[0] ?? {}, { guards: [fragment] });
  return { apiVersion: 'switchback/v1', kind: 'Migration', metadata: { name: 'm', version: 1, owner: 'o' }, spec };
}

describe('docs', () => {
  test.each(PAGES)('every example of %s.md is valid in a plan', async (page) => {
    const text = await readFile(new URL(`../../docs/${page}.md`, import.meta.url), 'utf8');
    const examples = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
    expect(examples).not.toHaveLength(0);
    for (const example of examples) {
      const { success, error } = planSchema.safeParse(planAround(parse(example)));
      expect({ example, success, error: error?.message }).toMatchObject({ success: true });
    }
  });
});
