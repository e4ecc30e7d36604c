import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { blueprintHtml } from '../../src/report/blueprint/blueprint-html.ts';
import type { BlueprintInput } from '../../src/report/blueprint/blueprint-input.ts';
import { dotOf } from '../../src/report/blueprint/dot.ts';
import { svgOf } from '../../src/report/blueprint/drawing.ts';
import { mermaidOf } from '../../src/report/blueprint/mermaid.ts';
import { planGraph } from '../../src/report/blueprint/plan-graph.ts';
import { checkPlan, checkPlanText } from '../../src/plan/file/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { claimsOfStep } from '../../src/sql/index.ts';
import { sampleCheck } from '../../src/report/sample-check.test-data.ts';
import { launchChromium } from '../harness/chromium.ts';
import { planOf } from '../harness/engine.ts';

let browser: Browser;
let page: Page;
beforeAll(async () => {
  browser = await launchChromium();
  page = await browser.newPage({ viewport: { width: 1300, height: 900 } });
  const mermaid = dirname(createRequire(import.meta.url).resolve('mermaid'));
  await page.setContent('<!doctype html><body></body>');
  await page.addScriptTag({ path: join(mermaid, 'mermaid.min.js') });
});
afterAll(() => browser.close());

async function inputOf(given: PlanInput | Uint8Array, live: BlueprintInput['live']): Promise<BlueprintInput> {
  const check = given instanceof Uint8Array ? await checkPlanText(given) : await checkPlan(given);
  if (!check.ok) throw new Error(JSON.stringify(check.problems));
  const { plan, digest, gates, risks } = check;
  const steps = plan.spec.phases.flatMap((phase) => phase.steps);
  return {
    plan,
    digest,
    gates,
    risks,
    tables: new Map(steps.map((step) => [step.id, claimsOfStep(plan, step)])),
    live,
  };
}

/** What the real Mermaid draws: the texts of the picture. It throws where it can't read the source. */
const drawnByMermaid = (source: string): Promise<string> =>
  page.evaluate(async (text) => {
    const { mermaid, document } = globalThis as unknown as {
      document: { createElement(name: string): { innerHTML: string; textContent: string } };
      mermaid: {
        initialize(options: object): void;
        render(id: string, text: string): Promise<{ svg: string }>;
      };
    };
    mermaid.initialize({ startOnLoad: false, maxTextSize: 1_000_000, maxEdges: 5_000 });
    const { svg } = await mermaid.render(`m${Math.random().toString(36).slice(2)}`, text);
    const holder = document.createElement('div');
    holder.innerHTML = svg;
    return holder.textContent;
  }, source);

const OFFLINE = { skipped: 'left out (--offline)' };

test('the example, as Mermaid and as a page', async () => {
  const input = await inputOf(readFileSync('examples/split-full-name/plan.yaml'), OFFLINE);
  const graph = planGraph(input);
  const texts = await drawnByMermaid(mermaidOf(graph));
  for (const name of [
    'accounts 4.12.0',
    'customers',
    'search-db',
    'billing-backfill',
    'migrate/after',
    'read-split-names',
  ])
    expect(texts).toContain(name);
  const html = blueprintHtml(input, await svgOf(dotOf(graph)));
  const shown = await browser.newPage();
  const asked: string[] = [];
  shown.on('request', ({ url }) => asked.push(url()));
  await shown.setContent(html);
  expect(await shown.title()).toBe('Blueprint of split-full-name version 1');
  expect(await shown.locator('svg .step').count()).toBe(16);
  expect(await shown.locator('svg .gate').count()).toBe(1);
  expect(await shown.locator('h3').allTextContents()).toHaveLength(5);
  const back = await shown.locator('table').last().locator('tbody tr td:nth-child(2)').allTextContents();
  expect(back.slice(0, 2)).toEqual(['search-retire', 'billing-retire']);
  expect(back.at(-1)).toBe('accounts-columns');
  // One file: nothing is loaded, nothing is run.
  expect(asked).toEqual([]);
  expect(html).not.toContain('<script');
  await shown.close();
});

test('names that are HTML, Markdown, quotes or entities are taken literally', async () => {
  const odd = `a"b'<script>x()</script>&#35;;]|\`*å😀`;
  const input = await inputOf(
    planOf('odd', [
      {
        name: 'expand',
        steps: [
          {
            id: 'columns',
            uses: 'ddl',
            database: 'app',
            up: `ALTER TABLE "${odd.replaceAll('"', '""')}" ADD COLUMN a int`,
          },
          { id: 'flip', uses: 'flag', flag: 'flag"]-->x', enabled: true },
        ],
      },
    ]),
    OFFLINE,
  );
  const graph = planGraph(input);
  expect(graph.nodes.find(({ kind }) => kind === 'table')?.lines).toEqual([odd]);
  const texts = await drawnByMermaid(mermaidOf(graph));
  expect(texts).toContain(odd);
  expect(texts).toContain('flag"]-->x');
  const shown = await browser.newPage();
  await shown.setContent(blueprintHtml(input, await svgOf(dotOf(graph))));
  expect(await shown.locator('script').count()).toBe(0);
  expect(await shown.locator('svg .table text').textContent()).toBe(odd);
  await shown.close();
});

test('with what the live databases say: locks on the steps, a table of locks, sizes', async () => {
  const input = await inputOf(
    planOf('app', [
      {
        name: 'expand',
        steps: [{ id: 'columns', uses: 'ddl', database: 'app', up: 'ALTER TABLE users ADD COLUMN a int' }],
      },
      {
        name: 'fill',
        steps: [
          {
            id: 'fill',
            uses: 'backfill',
            database: 'app',
            table: 'users',
            set: { a: '1' },
            throttle: { maxRowsPerSecond: 20_000 },
          },
        ],
      },
    ]),
    sampleCheck(),
  );
  const step = planGraph(input).nodes.find(({ lines }) => lines[0] === 'columns');
  expect(step?.lines.at(-1)).toBe('users: ACCESS EXCLUSIVE');
  const shown = await browser.newPage();
  await shown.setContent(blueprintHtml(input, await svgOf(dotOf(planGraph(input)))));
  const estimates = shown.locator('h2:text("Estimates") + .wide tbody tr td');
  expect(await estimates.allTextContents()).toEqual(['fill', 'backfill', 'app: users', '1,200,000', '340', '1m 00s']);
  const text = await shown.locator('main').textContent();
  expect(text).toContain('ACCESS EXCLUSIVE for a moment');
  expect(text).toContain('readers and writers');
  await shown.close();
});

test('a plan of 500 steps is drawn', async () => {
  const phases = Array.from({ length: 50 }, (_, phase) => ({
    name: `phase-${phase}`,
    steps: Array.from({ length: 10 }, (__, step) => ({
      id: `step-${phase}-${step}`,
      uses: 'ddl' as const,
      database: `db-${step}`,
      up: `ALTER TABLE t${phase % 7} ADD COLUMN c${phase} int`,
    })),
  }));
  const input = await inputOf(planOf('large', phases), OFFLINE);
  const graph = planGraph(input);
  const svg = await svgOf(dotOf(graph));
  expect(svg.match(/class="node step"/g)).toHaveLength(500);
  const kind = await page.evaluate(async (text) => {
    const { mermaid } = globalThis as unknown as { mermaid: { parse(text: string): Promise<{ diagramType: string }> } };
    return (await mermaid.parse(text)).diagramType;
  }, mermaidOf(graph));
  expect(kind).toBe('flowchart-v2');
});
