import { readFileSync } from 'node:fs';
import { defineConfig } from 'oxlint';

/**
 * The folder table of ARCHITECTURE.md: what each folder may import of ours at run time (`may`), what by `import type`
 * only (`typeOnly`), and, for what runs in Temporal's sandbox, which packages. Composition roots may import all.
 */
interface Rule {
  may: readonly string[];
  typeOnly?: readonly string[];
  packages?: readonly string[];
}
const ADAPTER_RULE: Rule = { may: ['messages', 'plan'], typeOnly: ['sql'] };
const TABLE: Record<string, Rule> = {
  messages: { may: [], packages: [] },
  plan: { may: ['messages'] },
  sql: { may: ['messages'], typeOnly: ['plan'] },
  workflows: {
    may: ['messages'],
    typeOnly: ['plan', 'activities'],
    packages: ['@temporalio/workflow', '@temporalio/common'],
  },
  activities: { may: ['messages', 'plan', 'sql', 'adapters', 'analysis'] },
  adapters: ADAPTER_RULE,
  analysis: { may: [] },
  report: { may: ['messages', 'plan'] },
  client: { may: ['messages', 'plan'] },
  switch: { may: [] },
  // `switchback dev` reads the worker's configuration to know what to start; it runs the worker as a process.
  dev: { may: ['messages', 'worker'] },
};
const ROOTS = ['worker', 'cli', 'board'];
const FOLDERS = [...new Set([...Object.keys(TABLE), ...ROOTS])];
const ADAPTERS = ['postgres', 'unleash', 'metrics', 'notify'];

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};
const PACKAGES = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];

const oneOf = (names: readonly string[]): string => names.map((name) => name.replaceAll('.', '\\.')).join('|');
const ours = (names: readonly string[]): string => `^(\\.\\./)+(src/)?(${oneOf(names)})(/|$)`;

interface Override {
  files: string[];
  excludeFiles: string[];
  rules: { 'no-restricted-imports': [string, { patterns: object[] }] };
}

function overrideOf(folder: string, { may, typeOnly = [], packages }: Rule): Override {
  const forbidden = [...FOLDERS.filter((name) => ![folder, ...may, ...typeOnly].includes(name)), 'test', 'scripts'];
  const allowed = [...may, ...typeOnly.map((name) => `${name} (import type)`)].join(', ') || 'nothing of ours';
  const patterns: object[] = [{ regex: ours(forbidden), message: `src/${folder} may import only: ${allowed}.` }];
  if (typeOnly.length > 0) {
    patterns.push({
      regex: ours(typeOnly),
      allowTypeImports: true,
      message: `src/${folder} imports ${typeOnly.join(', ')} by \`import type\` only.`,
    });
  }
  if (packages !== undefined) {
    const foreign = PACKAGES.filter((name) => !packages.includes(name));
    patterns.push({
      regex: `^(node:.*|(${oneOf(foreign)})(/.*)?)$`,
      allowTypeImports: true,
      message: `src/${folder} may use only these packages: ${packages.join(', ') || 'none'}.`,
    });
  }
  return {
    files: [`src/${folder}/**/*.ts`],
    excludeFiles: ['**/*.test.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns }] },
  };
}

/** Adapters never import each other. The folder's own rules come again, because the last override that fits counts. */
function adapterOverride(name: string): Override {
  const others = ADAPTERS.filter((other) => other !== name);
  const base = overrideOf('adapters', ADAPTER_RULE);
  const [severity, { patterns }] = base.rules['no-restricted-imports'];
  const own = { regex: `^(\\.\\./)+(${oneOf(others)})(/|$)`, message: 'Adapters never import each other.' };
  return {
    ...base,
    files: [`src/adapters/${name}/**/*.ts`],
    rules: { 'no-restricted-imports': [severity, { patterns: [...patterns, own] }] },
  };
}

const LOCAL_DATE_METHODS = [
  ...['getFullYear', 'getMonth', 'getDate', 'getDay', 'getHours', 'getMinutes', 'getSeconds', 'getMilliseconds'],
  ...[
    'getTimezoneOffset',
    'toLocaleString',
    'toLocaleDateString',
    'toLocaleTimeString',
    'toDateString',
    'toTimeString',
  ],
];
const SANDBOX_GLOBALS = ['process', 'Buffer', 'fetch', 'crypto', 'setImmediate', 'Intl', 'performance'];

export default defineConfig({
  plugins: ['typescript', 'import', 'unicorn', 'promise', 'node', 'vitest'],
  options: { typeAware: true },
  ignorePatterns: ['node_modules', 'dist', 'out', 'coverage', '.cache', '.switchback'],
  categories: { correctness: 'error', suspicious: 'error', perf: 'warn' },
  rules: {
    'import/no-cycle': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'no-underscore-dangle': ['error', { allow: ['_zod'] }],
    // Rows, JSON and Temporal's payloads are parsed at the edge and typed there by assertion.
    // The compiler sees to it (noImplicitReturns), and unlike this rule it knows a switch that covers all cases.
    'typescript/consistent-return': 'off',
    'typescript/no-unsafe-type-assertion': 'off',
    // Order matters here: what is awaited in a loop is meant to run one after the other.
    'no-await-in-loop': 'off',
    // `pg` is a CommonJS package, whose default export is the way to its classes.
    'import/no-named-as-default-member': 'off',
    // Control characters are looked for where what a terminal shows is cleaned.
    'no-control-regex': 'off',
    // What changes in a callback while the loop awaits is not seen by the rule.
    'no-unmodified-loop-condition': 'off',
    // The second argument of `expect` says which of many it was.
    'vitest/valid-expect': ['error', { maxArgs: 2 }],
    'vitest/expect-expect': ['error', { assertFunctionNames: ['expect', 'expect*', 'assert*'] }],
    // Cases of a table differ in what they expect.
    'vitest/no-conditional-expect': 'off',
    'vitest/no-standalone-expect': 'off',
    // Texts of ours are sorted by code unit, so that the order is the same everywhere.
    'typescript/require-array-sort-compare': 'off',
    // What is sorted in place here is an array that was just made.
    'unicorn/no-array-sort': 'off',
    // A small function stands where it is read.
    'unicorn/consistent-function-scoping': 'off',
    // Lists of a handful of words read better as lists.
    'unicorn/prefer-set-has': 'off',
    // Interfaces write their methods as methods; state is in #private fields, which fail at once without their `this`.
    'typescript/unbound-method': 'off',
    // A promise that is watched rather than chained has nothing to return.
    'promise/always-return': 'off',
    // `[...['a', 'b'], ...['c']]` is how long lists are kept short of a line each.
    'unicorn/no-useless-spread': 'off',
  },
  overrides: [
    ...Object.entries(TABLE).map(([folder, rule]) => overrideOf(folder, rule)),
    ...ADAPTERS.map(adapterOverride),
    {
      files: ['src/workflows/**/*.ts', 'src/messages/**/*.ts'],
      rules: {
        'no-restricted-globals': ['error', ...SANDBOX_GLOBALS],
        'no-restricted-properties': [
          'error',
          ...LOCAL_DATE_METHODS.map((property) => ({
            property,
            message: "It depends on the worker's time zone or locale.",
          })),
        ],
      },
    },
    {
      // Properties of catalog objects are JSON from Postgres: text and numbers under names that say which.
      files: ['src/adapters/postgres/catalog*.ts', 'src/adapters/postgres/ddl*.ts'],
      rules: { 'typescript/no-base-to-string': 'off', 'typescript/restrict-template-expressions': 'off' },
    },
    {
      // A plan file is checked with its SQL parsed.
      ...overrideOf('plan', { may: ['messages', 'sql'] }),
      files: ['src/plan/file/**/*.ts'],
    },
    {
      files: ['src/plan/*.ts', 'src/plan/steps/*.ts', 'src/analysis/**/*.ts', 'src/report/**/*.ts'],
      rules: { 'no-restricted-globals': ['error', 'process', 'fetch', 'setImmediate'] },
    },
  ] as NonNullable<Parameters<typeof defineConfig>[0]['overrides']>,
});
