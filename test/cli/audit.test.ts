import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { keyHash } from '../../src/adapters/postgres/key-hash.ts';
import type { Audit } from '../../src/messages/index.ts';
import { planOf, startEngine } from '../harness/engine.ts';
import { run } from '../../src/cli/program.ts';
import { testFolder, writeFile } from './run-cli.ts';

const TABLES = `SET search_path = public;
CREATE TABLE steps (id int PRIMARY KEY, n int, note text); INSERT INTO steps SELECT i FROM generate_series(-5, 44) i;
CREATE TABLE people (email text PRIMARY KEY, n int); INSERT INTO people VALUES ('ada@example.com'), ('bo@example.com');
SET search_path = pg_catalog`;

test('audit of a run, of a row and of a hash, from the databases and from a worker, and as OpenLineage', {
  timeout: 120_000,
}, async () => {
  const labels = { app: { people: ['pii'] } };
  const engine = await startEngine({ databases: ['app'], labels });
  const { ledger, databases, taskQueue } = engine.config;
  const app = new Database('app', { url: databases['app']?.url ?? '' });
  await app.query(TABLES);
  const name = engine.name('audited');
  const on = { uses: 'backfill', database: 'app' } as const;
  const plan = planOf(name, [
    {
      name: 'main',
      steps: [
        { id: 'numbers', ...on, table: 'steps', set: { n: 'id * 2' } },
        { id: 'persons', ...on, table: 'people', set: { n: 'length(email)' } },
      ],
    },
  ]);
  await (await engine.switchback.start(plan, { requestedBy: 'ana@example.com' })).result();

  const folder = testFolder();
  const config = writeFile(folder, 'config.yaml', { taskQueue, ledger, databases });
  const play = async (args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
    const said = { stdout: '', stderr: '' };
    const code = await run(args, {
      out: (text) => void (said.stdout += `${text}\n`),
      err: (text) => void (said.stderr += `${text}\n`),
      ...{ screen: null, color: false, env: {}, cwd: folder, program: 'npx switchback' },
    });
    return { code, ...said };
  };
  const cli = (...args: string[]) => play([...args, '--config', config]);
  /** As on a machine that knows Temporal and no database. */
  const far = (...args: string[]) =>
    play([...args, '--task-queue', taskQueue, '--address', engine.config.temporal?.address ?? '']);
  const home = new Database('home', { url: databases['home']?.url ?? '' });
  const [salts] = await home.query('SELECT min(salt) AS salt FROM switchback.salts');
  await home.close();
  const hash = keyHash(salts?.['salt'] ?? '', ['ada@example.com']);

  const [whole, json, row, dashed, farRow, farPlain, farHash, found, lineage, decisions, usage] = await Promise.all([
    cli('audit', name),
    cli('audit', name, '--json'),
    cli('audit', name, '--row', 'public.steps', '7'),
    cli('audit', name, '--row', 'app/steps', '--key=-5'),
    far('audit', name, '--row', 'steps', '7', '--json'),
    far('audit', name, '--row', 'people', 'ada@example.com'),
    far('audit', name, '--row', 'people', hash, '--json'),
    cli('audit', name, '--find', hash, 'people'),
    cli('audit', name, '--openlineage', '--output', 'lineage.ndjson'),
    cli('audit', name, '--cloudevents'),
    cli('audit', name, '--row', 'steps'),
  ]);
  expect(whole.stdout).toContain(`${name} version 1, epoch 1: completed`);
  expect(whole.stdout).toMatch(
    /v1\/1 {2}numbers {2}backfill {2}app\/public\.steps {2}keys up to 44 {2}50 rows of 50 keys/,
  );
  expect(whole.stdout).not.toContain('@example.com up');
  expect(whole.stdout).toContain(`keys up to ${keyHash(salts?.['salt'] ?? '', ['bo@example.com'])}`);
  const audit = JSON.parse(json.stdout) as Audit;
  expect(audit.ranges.map(({ step, rows }) => [step, rows])).toEqual(expect.arrayContaining([['persons', '2']]));
  expect(audit.decisions.length).toBeGreaterThan(0);
  const lines = decisions.stdout.trim().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(
    audit.decisions.map(({ key }) => `${name}/1/1/${key.replaceAll('.', '-')}`),
  );
  expect(row.stdout).toContain('key 7 of app/public.steps: the row is there');
  expect(row.stdout).toContain(`${name}  v1/1  numbers`);
  expect(dashed.stdout).toContain('key -5 of app/public.steps: the row is there');
  expect(farRow.stderr).toBe('');
  expect((JSON.parse(farRow.stdout) as Audit).row?.changes).toMatchObject([{ step: 'numbers', sure: 'in-range' }]);
  expect(farPlain.stderr).toContain('holds personal data');
  expect(farPlain.code).toBe(2);
  expect((JSON.parse(farHash.stdout) as Audit).row).toMatchObject({ key: hash, exists: true });
  expect(farHash.stdout).not.toContain('ada@');
  expect(found.stdout.trim()).toBe('app/public.people  email = ada@example.com');
  expect(lineage.stdout).toContain('wrote 6 events to lineage.ndjson');
  const written = readFileSync(join(folder, 'lineage.ndjson'), 'utf8');
  expect(
    written
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { eventType: string }).eventType)
      .toSorted(),
  ).toEqual([...['COMPLETE', 'COMPLETE', 'COMPLETE', 'START', 'START', 'START']]);
  const { password, port } = new URL(databases['app']?.url ?? '');
  expect(written).toContain(
    `:${port}","name":"${new URL(databases['app']?.url ?? '').pathname.slice(1)}.public.people"`,
  );
  expect(password === '' || !written.includes(password)).toBe(true);
  expect(written).not.toContain('ada@');
  expect([usage.code, usage.stderr]).toEqual([2, expect.stringContaining('--row needs a key')]);
  await app.close();
});
