import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { shownFile } from '../../scripts/generate/file-blocks.ts';
import { MESSAGE_NAMES, type MessageName, readMessage } from '../../src/messages/index.ts';
import { checkPlanText } from '../../src/plan/file/index.ts';
import { planSchema } from '../../src/plan/index.ts';
import { configSchema, parseConfig } from '../../src/worker/config-file.ts';
import { BLOCKS, type Block, commandsOf, PAGES, placeOf } from './blocks.ts';
import { assertCommand } from './command-words.ts';

/** Any environment will do for a configuration in the docs: its variables stand for the reader's own. */
const ENVIRONMENT = new Proxy<Record<string, string>>({}, { get: (_, name) => valueOf(String(name)) });
const valueOf = (name: string): string => {
  if (name.includes('SECRET')) return `whsec_${Buffer.alloc(24).toString('base64')}`;
  return name.includes('TOKEN') ? 'token' : `${protocolOf(name)}://host/${name}`;
};
const protocolOf = (name: string): string => (/DB|REPLICA|POSTGRES/.test(name) ? 'postgres' : 'http');

const of = (language: string): [string, Block][] =>
  BLOCKS.filter((block) => block.language === language && !block.mark?.startsWith('not run')).map((block) => [
    placeOf(block),
    block,
  ]);

describe('fenced blocks', () => {
  test('every comment above a block is one that docs/README.md explains', () => {
    const known = /^(run(: exit \d)?|parse|session|file: \S+|message: \w+|not run: .{5,}|generated: .+)$/;
    expect(BLOCKS.filter(({ mark }) => mark !== null && !known.test(mark)).map(placeOf)).toEqual([]);
  });

  test('every language is one that is tested, or plain text', () => {
    const known = ['sh', 'yaml', 'json', 'ts', 'text', 'sql', 'console'];
    expect(BLOCKS.filter(({ language }) => !known.includes(language)).map(placeOf)).toEqual([]);
  });

  test.each(of('sh'))('%s: its commands exist', async (_, block) => {
    expect(commandsOf(block)).not.toEqual([]);
    for (const command of commandsOf(block)) await expect(assertCommand(command), command).resolves.toBeUndefined();
  });

  test.each(of('sh').filter(([, { mark }]) => mark?.startsWith('run')))('%s: runs', async (_, block) => {
    const expected = Number(/exit (\d)/.exec(block.mark ?? '')?.[1] ?? 0);
    for (const command of commandsOf(block))
      expect({ command, code: await exitCodeOf(command) }).toMatchObject({ code: expected });
  });

  test.each(of('yaml'))('%s: is valid', async (_, block) => {
    expect(await problemsOf(block)).toEqual([]);
  });

  test.each(of('json'))('%s: is JSON, and what it says it is', (_, { mark, text }) => {
    const value: unknown = JSON.parse(text);
    const name = /^message: (\w+)$/.exec(mark ?? '')?.[1];
    if (name === undefined) return;
    expect(MESSAGE_NAMES).toContain(name);
    expect(readMessage(name as Exclude<MessageName, 'throttle'>, value)).toMatchObject({ ok: true });
  });

  test.each(of('ts'))('%s: is the content of a file', (_, { mark, text }) => {
    const path = /^file: (\S+)$/.exec(mark ?? '')?.[1];
    expect(path, 'a ts block shows a file of examples/, which is type-checked and run').toBeDefined();
    expect(text.trimEnd()).toBe(shownFile('.', path ?? ''));
  });
});

describe('links', () => {
  const links = PAGES.flatMap((page) =>
    [...withoutBlocks(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1] ?? '')
      .filter((target) => !/^[a-z]+:/.test(target))
      .map((target): [string, string] => [page, target]),
  );

  test.each(links)('%s → %s', (page, target) => {
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? page : normalize(join(dirname(page), path));
    expect(existsSync(file), `${file} exists`).toBe(true);
    if (anchor !== undefined) expect(anchorsOf(file)).toContain(anchor);
  });

  test('docs/README.md leads to every page', () => {
    const index = readFileSync('docs/README.md', 'utf8');
    const lost = PAGES.filter((page) => /^docs\/[^/]+\.md$/.test(page) && page !== 'docs/README.md').filter(
      (page) => !index.includes(`](${page.slice('docs/'.length)})`),
    );
    expect(lost).toEqual([]);
  });
});

/** What is wrong with a block: as a plan, as a configuration, or as steps or conditions of a plan. */
async function problemsOf({ text }: Block): Promise<unknown[]> {
  const value = parse(text) as Record<string, unknown> | unknown[] | null;
  if (value === null) return [];
  const has = (key: string): boolean => !Array.isArray(value) && key in value;
  if (has('apiVersion')) {
    const check = await checkPlanText(text);
    return check.ok ? [] : check.problems;
  }
  if (!has('name') && Object.keys(configSchema.shape).some(has)) {
    parseConfig(text, 'docs', ENVIRONMENT);
    return [];
  }
  const read = planSchema.safeParse(planAround(value));
  return read.success ? [] : read.error.issues;
}

/** A part of a plan in a plan that it could stand in. */
function planAround(part: Record<string, unknown> | unknown[]): unknown {
  const step = { id: 's', uses: 'wait', for: '1s' };
  const spec = !Array.isArray(part) && 'spec' in part ? (part['spec'] as object) : {};
  const phase = Array.isArray(part) ? { steps: part } : { guards: 'name' in part ? [part] : [], steps: [step] };
  return {
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'm', version: 1, owner: 'o' },
    spec: { summary: 's', phases: [{ name: 'p', ...phase }], ...spec },
  };
}

const exitCodeOf = (command: string): Promise<number> =>
  new Promise((resolve) => {
    execFile('/bin/sh', ['-c', command], (error) =>
      resolve(typeof error?.code === 'number' ? error.code : error ? 1 : 0),
    );
  });

const withoutBlocks = (page: string): string => readFileSync(page, 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '');

/** The anchors that GitHub makes of a page's headings. */
const anchorsOf = (page: string): string[] =>
  [...withoutBlocks(page).matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
