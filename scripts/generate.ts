/**
 * Writes what is generated: from the plan format's zod schemas the editor's schema and the parts of
 * docs/plan-format.md between its marks; from the examples the blocks of the pages that show a file; from the rules
 * their pages; from the statistics of gates what they need, as a table and a picture.
 * `--check` writes nothing and fails where a file isn't as it would be written.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fieldTables } from './generate/field-tables.ts';
import { withFiles } from './generate/file-blocks.ts';
import { gateEvidenceChart } from './generate/gate-evidence-chart.ts';
import { gateNeedsTable } from './generate/gate-needs-table.ts';
import { unsupportedList } from './generate/unsupported-list.ts';
import { planJsonSchema } from './generate/plan-json-schema.ts';
import { RULE_PAGES, rulePages } from './generate/rule-pages.ts';

const ROOT = join(import.meta.dirname, '..');
const BEGIN = /<!-- generated: ([\w-]+) -->\n/g;
const END = '<!-- end of generated -->';
const PAGES_WITH_FILES = ['README.md', 'docs/client.md', 'docs/switch.md'];

interface Generated {
  path: string;
  content: string;
}

const readOr = async (path: string, otherwise: string): Promise<string> => {
  try {
    return await readFile(join(ROOT, path), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return otherwise;
    throw error;
  }
};

/** A document whose parts between `<!-- generated: NAME -->` and the end mark are made anew. */
function withTables(document: string, tables: Readonly<Record<string, string>>): string {
  return document.replaceAll(/<!-- generated: ([\w-]+) -->\n[\s\S]*?<!-- end of generated -->/g, (_, name: string) => {
    const table = tables[name];
    if (table === undefined) throw new Error(`nothing generates "${name}"; there is ${Object.keys(tables).join(', ')}`);
    return `<!-- generated: ${name} -->\n${table}\n${END}`;
  });
}

async function generated(): Promise<Generated[]> {
  const schema = planJsonSchema();
  const format = await readOr('docs/plan-format.md', '');
  const example = await readOr('test/plans/good/split-full-name.yaml', '');
  const tables = {
    example: `\`\`\`yaml\n${example.trimEnd()}\n\`\`\``,
    unsupported: unsupportedList(),
    ...fieldTables(schema),
  };
  const used = new Set([...format.matchAll(BEGIN)].map((match) => match[1]));
  const unused = Object.keys(tables).filter((name) => !used.has(name));
  if (unused.length > 0) throw new Error(`docs/plan-format.md has no place for the table ${unused.join(', ')}`);
  return [
    { path: 'schema/plan.schema.json', content: `${JSON.stringify(schema, null, 2)}\n` },
    { path: 'docs/plan-format.md', content: withTables(format, tables) },
    {
      path: 'docs/gates.md',
      content: withTables(await readOr('docs/gates.md', ''), { 'gate-needs': gateNeedsTable() }),
    },
    { path: 'docs/gate-evidence.svg', content: gateEvidenceChart() },
    ...rulePages(),
    ...(await Promise.all(
      PAGES_WITH_FILES.map(async (path) => ({ path, content: withFiles(await readOr(path, ''), ROOT) })),
    )),
  ];
}

/** Pages of rules that are no more. */
async function orphans(pages: readonly Generated[]): Promise<string[]> {
  const known = new Set(pages.map(({ path }) => path));
  const names = await readdir(join(ROOT, RULE_PAGES)).catch(() => []);
  return names.map((name) => `${RULE_PAGES}/${name}`).filter((path) => !known.has(path));
}

const check = process.argv.includes('--check');
const stale: string[] = [];
const all = await generated();
for (const path of await orphans(all)) {
  stale.push(path);
  if (!check) await rm(join(ROOT, path));
}
for (const { path, content } of all) {
  if ((await readOr(path, '')) === content) continue;
  stale.push(path);
  if (check) continue;
  await mkdir(dirname(join(ROOT, path)), { recursive: true });
  await writeFile(join(ROOT, path), content);
}
if (check && stale.length > 0) {
  console.error(`stale: ${stale.join(', ')}; run: npm run generate`);
  process.exitCode = 1;
} else {
  console.log(stale.length === 0 ? 'generated files are fresh' : `written: ${stale.join(', ')}`);
}
