import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { LiveCheck } from '../../src/client/index.ts';
import { startEngine } from '../harness/engine.ts';
import { runCli, testFolder, writeFile } from './run-cli.ts';

vi.setConfig({ testTimeout: 120_000 });

const GIVEN = `
CREATE TABLE public.users (id integer PRIMARY KEY, mail text NOT NULL);
INSERT INTO public.users SELECT n, 'user' || n || '@example.com' FROM generate_series(1, 20000) n;
CREATE TABLE public.settings (id integer PRIMARY KEY, value text);
INSERT INTO public.settings SELECT n, 'v' FROM generate_series(1, 12000) n;
GRANT SELECT ON public.users, public.settings TO PUBLIC;
ANALYZE public.users; ANALYZE public.settings`;

/** Statements stand in a block, in a flow mapping and on a line of their own: each has its place in the file. */
const plan = (name: string, allow = ''): string => `apiVersion: switchback/v1
kind: Migration
metadata: {name: ${name}, version: 1, owner: team-test}
spec:
  summary: several findings
  risk: low
  phases:
    - name: expand
      steps:
        - id: index
          uses: ddl
          database: app
          up: |
            -- writers go on
            CREATE INDEX users_by_mail ON users (mail);
            ALTER TABLE users ENABLE ROW LEVEL SECURITY;
          ${allow}
        - {id: note, uses: ddl, database: app, up: 'CREATE TABLE notes (id bigint PRIMARY KEY)'}
        - id: settings
          uses: ddl
          database: app
          up: ALTER TABLE settings ENABLE ROW LEVEL SECURITY
          allow: [{rule: enable-row-security-without-policy, reason: 'nobody reads it, DBA-311'}]
`;
const ALLOW = "allow: [{rule: enable-row-security-without-policy, reason: 'policies follow'}]";

async function room() {
  const engine = await startEngine({ databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  await app.session((session) => session.query(GIVEN));
  await app.close();
  const folder = testFolder();
  const { ledger, databases, taskQueue } = engine.config;
  const config = writeFile(folder, 'config.yaml', { taskQueue, ledger, databases });
  const env = { TEMPORAL_ADDRESS: engine.config.temporal?.address };
  const name = engine.name('findings');
  return {
    name,
    folder,
    cli: (text: string, ...args: string[]) => {
      writeFile(folder, 'plan.yaml', text);
      return runCli(['check', 'plan.yaml', '--config', config, ...args], { env, cwd: folder });
    },
  };
}

interface Sarif {
  runs: {
    results: {
      ruleId: string;
      locations: { physicalLocation: { artifactLocation: { uri: string }; region: object } }[];
      suppressions?: { justification: string }[];
    }[];
  }[];
}

test('a plan with several findings: as text, as SARIF, as JSON, and with all of it allowed', async () => {
  const { name, folder, cli } = await room();

  const shown = await cli(plan(name), '--sarif', 'out.sarif');
  expect(shown.stderr).toBe('');
  expect(shown.code).toBe(2);
  const text = shown.stdout
    .replaceAll(name, 'NAME')
    .replaceAll(/(sha256:)?[0-9a-f]{64}/g, 'DIGEST')
    .replaceAll(/Postgres \d+\.\d+/g, 'Postgres 18.0');
  expect(text).toMatchInlineSnapshot(`
    "plan.yaml: fine
      NAME version 1, 1 phase, 3 steps
      gates: none
      digest: DIGEST
    live: 1 problem
      note: app: Postgres 18.0
      note: app: public.settings has 1 MiB, about 12,000 rows
      note: app: public.users has 2 MiB, about 20,000 rows
      note: app: the schema has digest DIGEST

    app (Postgres 18.0)
          lock                    held    on        rows    MiB  who waits
      expand/index
      1 CREATE INDEX users_by_mail ON users (mail)
        runs in its safe form: the index is built CONCURRENTLY, so that writers go on meanwhile
        → CREATE INDEX CONCURRENTLY users_by_mail ON users (mail)
          SHARE UPDATE EXCLUSIVE  scan    users     20,000  1    DDL
        rollback: drops the index, concurrently where the table is large
      2 ALTER TABLE users ENABLE ROW LEVEL SECURITY
          ACCESS EXCLUSIVE        moment  users                  readers and writers
        rollback: sets what was changed as it was
      expand/note
      1 CREATE TABLE notes (id bigint PRIMARY KEY)
          locks nothing that is in use
        rollback: drops the table; its rows are kept in switchback.rescued
      expand/settings
      1 ALTER TABLE settings ENABLE ROW LEVEL SECURITY
          ACCESS EXCLUSIVE        moment  settings               readers and writers
        rollback: sets what was changed as it was

    1 error: refused; a \`ddl\` step may \`allow\` a rule with a reason
      enable-row-security-without-policy  expand/index, statement 2  plan.yaml:16:13
        PUBLIC would find users (about 20,000 rows, 2 MiB) empty
        instead: Create the policies first: they count for nobody until row security is on.
        docs/rules/enable-row-security-without-policy.md

    1 avoided: the engine runs the safe form
      index-not-concurrently  expand/index, statement 1  plan.yaml:15:13
        writers of users (about 20,000 rows, 2 MiB) wait until the index is built
        docs/rules/index-not-concurrently.md

    1 allowed by the plan
      enable-row-security-without-policy  expand/settings, statement 1  plan.yaml:22:15
        PUBLIC would find settings (about 12,000 rows, 1 MiB) empty
        allowed: nobody reads it, DBA-311
        docs/rules/enable-row-security-without-policy.md
    wrote out.sarif
    "
  `);

  const { runs } = JSON.parse(readFileSync(join(folder, 'out.sarif'), 'utf8')) as Sarif;
  const results = runs[0]?.results.map(({ ruleId, locations: [at], suppressions }) => [
    ruleId,
    at?.physicalLocation.artifactLocation.uri,
    at?.physicalLocation.region,
    suppressions?.map(({ justification }) => justification),
  ]);
  expect(results).toEqual([
    ['index-not-concurrently', 'plan.yaml', { startLine: 15, startColumn: 13 }, undefined],
    ['enable-row-security-without-policy', 'plan.yaml', { startLine: 16, startColumn: 13 }, undefined],
    [
      'enable-row-security-without-policy',
      'plan.yaml',
      { startLine: 22, startColumn: 15 },
      ['nobody reads it, DBA-311'],
    ],
  ]);

  const allowed = await cli(plan(name, ALLOW), '--json');
  expect(allowed.code).toBe(0);
  const { ok, live } = JSON.parse(allowed.stdout) as { ok: boolean; live: LiveCheck };
  expect([ok, live.problems]).toEqual([true, []]);
  expect(live.databases.map(({ name: of, steps }) => [of, steps.map(({ step }) => step)])).toEqual([
    ['app', ['index', 'note', 'settings']],
  ]);
  expect(live.databases[0]?.steps[0]?.statements[0]).toMatchObject({
    number: 1,
    text: 'CREATE INDEX users_by_mail ON users (mail)',
    line: 15,
    column: 13,
    runs: [
      {
        text: 'CREATE INDEX CONCURRENTLY users_by_mail ON users (mail)',
        concurrently: true,
        locks: [{ schema: 'public', relation: 'users', mode: 'SHARE UPDATE EXCLUSIVE', held: 'scan', waits: 'DDL' }],
        rewrites: [],
        scans: [{ relation: 'users', rows: 20_000 }],
      },
    ],
  });
  expect(
    live.findings.map(({ rule, severity, avoided, allowed: why, refused }) => [rule, severity, avoided, why, refused]),
  ).toEqual([
    ['index-not-concurrently', 'note', true, null, false],
    ['enable-row-security-without-policy', 'error', false, 'policies follow', false],
    ['enable-row-security-without-policy', 'error', false, 'nobody reads it, DBA-311', false],
  ]);
});

test('what is wrong with the file is SARIF too, on stdout as in a file; the hint is not to check it', async () => {
  const folder = testFolder();
  writeFile(folder, 'plan.yaml', plan('wrong').replace('risk: low', 'risk: lwo'));
  const { code, stdout, stderr } = await runCli(['check', 'plan.yaml', '--sarif'], { cwd: folder });
  const { runs } = JSON.parse(stdout) as Sarif;
  expect(runs[0]?.results).toMatchObject([
    {
      ruleId: 'PlanInvalid',
      locations: [
        { physicalLocation: { artifactLocation: { uri: 'plan.yaml' }, region: { startLine: 6, startColumn: 9 } } },
      ],
    },
  ]);
  expect(stderr).toContain('plan.yaml:6:9');
  expect(stderr).toContain('hint: correct the plan and check it again');
  expect(code).toBe(2);
});

test('--offline says so, and has only the file’s problems as SARIF; stdout is for one of --json and --sarif', async () => {
  const folder = testFolder();
  writeFile(folder, 'plan.yaml', plan('fine'));
  const offline = await runCli(['check', 'plan.yaml', '--offline', '--sarif'], { cwd: folder });
  expect(JSON.parse(offline.stdout)).toMatchObject({
    runs: [{ results: [], invocations: [{ toolExecutionNotifications: [{ level: 'warning' }] }] }],
  });
  expect(offline.code).toBe(0);
  const both = await runCli(['check', 'plan.yaml', '--sarif', '--json'], { cwd: folder });
  expect([both.code, both.stdout]).toEqual([2, '']);
  expect(both.stderr).toContain('UsageInvalid');
});

test('what the gates of a rollout need is told from the file alone, as text and as JSON', async () => {
  const folder = testFolder();
  writeFile(
    folder,
    'plan.yaml',
    `apiVersion: switchback/v1
kind: Migration
metadata: {name: gates, version: 1, owner: team-test}
spec:
  summary: a rollout under a gate
  risk: low
  flags: {reads: {environment: development}}
  phases:
    - name: rollout
      steps:
        - id: ramp
          uses: rollout
          flag: reads
          ramp: [{percent: 5, bake: 15m}, {percent: 100}]
          analysis:
            metrics:
              - {name: errors, prometheus: {bad: "failed{path='$path'}", total: "calls{path='$path'}"}, margin: 1.5}
`,
  );
  const [text, json] = await Promise.all(
    [[], ['--json']].map((more) => runCli(['check', 'plan.yaml', '--offline', ...more], { cwd: folder })),
  );
  expect(text?.stdout).toContain(
    '  rollout/ramp, stop 1: 5 %, bakes 15m\n    a doubled error rate shows by 743 bad requests',
  );
  expect(JSON.parse(json?.stdout ?? '')).toMatchObject({
    bakes: [
      { step: 'ramp', stop: 1, share: 0.05, seeBad: 743, pass: [{ margin: 1.5, bad: 2338 }] },
      { step: 'ramp', stop: 2, share: null, seeBad: null, pass: [] },
    ],
  });
  expect([text?.code, json?.code]).toEqual([0, 0]);
});
