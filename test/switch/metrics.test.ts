import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import {
  createSwitch,
  handleSwitches,
  serveSwitches,
  SWITCH_ERROR_CODES,
  type SwitchesDocument,
} from '../../src/switch/index.ts';
import { ledgerOfFile, Store } from './place.ts';

const place = ledgerOfFile();

async function work(here: ReturnType<typeof place>, flag: string) {
  const [old, fresh] = [new Store('old'), new Store('new')];
  const names = createSwitch({
    ...{ flag, old, new: fresh, key: (key: string) => key, sample: 0, slowMs: 0 },
    ...{ ledger: here.pool, service: 'acc"ounts\\', environment: 'development' },
  });
  onTestFinished(() => names.close());
  await names.read('a');
  await names.write('a', '1');
  old.failsWith = new Error('secret');
  for (let n = 0; n < 3; n++) await names.read('b').catch(() => undefined);
  return names;
}

test('the text is what Prometheus reads: help and type once, labels escaped, buckets added up', async () => {
  const here = place();
  await here.setStage('dual-write');
  const names = await work(here, here.flag);
  const text = names.metrics.text();
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  const sample = /^[a-z_]+\{([a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\} (?:[0-9.e+-]+)$/;
  const comment = /^# (HELP \S+ \S.*|TYPE \S+ (counter|gauge|histogram))$/;
  expect(lines.filter((line) => !sample.test(line) && !comment.test(line))).toEqual([]);
  const named = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
  expect(new Set(named).size).toBe(named.length);
  const base = `environment="development",flag="${here.flag}",service="acc\\"ounts\\\\"`;
  expect(lines).toEqual(
    expect.arrayContaining([
      `switchback_switch_calls_total{${base},path="old",operation="read"} 4`,
      `switchback_switch_errors_total{${base},path="old",operation="read"} 3`,
      `switchback_switch_slow_total{${base},path="new",operation="write"} 1`,
      `switchback_switch_units_total{${base},path="old"} 2`,
      `switchback_switch_units_failed_total{${base},path="old"} 1`,
      `switchback_switch_duration_seconds_bucket{${base},path="old",operation="read",le="+Inf"} 4`,
      `switchback_switch_duration_seconds_count{${base},path="old",operation="read"} 4`,
      `switchback_switch_stage{${base}} 1`,
      `switchback_switch_generation{${base}} 1`,
      `switchback_switch_lease_held{${base}} 1`,
    ]),
  );
  const buckets = lines.filter(
    (line) => line.includes('duration_seconds_bucket') && line.includes('path="old",operation="read"'),
  );
  const values = buckets.map((line) => Number(line.split(' ').at(-1)));
  expect(values).toEqual(values.toSorted((a, b) => a - b));
  expect(text).not.toContain('secret');
});

test('the endpoint shows every switch of the process, alone or in a server that is there', async () => {
  const here = place();
  const [one, other] = [place().flag, place().flag];
  await work(here, one);
  await work(here, other);
  const endpoint = await serveSwitches({ port: 0 });
  onTestFinished(() => endpoint.close());
  const metrics = await fetch(`${endpoint.url}/metrics?x=1`);
  expect(metrics.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const text = await metrics.text();
  expect(text.match(/# TYPE switchback_switch_calls_total counter/g)).toHaveLength(1);
  expect([one, other].filter((flag) => text.includes(`flag="${flag}"`))).toHaveLength(2);
  const { switches } = (await (await fetch(`${endpoint.url}/switchback`)).json()) as SwitchesDocument;
  expect(switches.map(({ flag }) => flag)).toEqual([one, other]);
  expect(switches[0]).toMatchObject({
    ...{ environment: 'development', service: 'acc"ounts\\', stage: 'off', generation: 0, exposure: 0, inFlight: 0 },
    ...{ ledger: { state: 'here', held: true, awayMs: 0, error: null }, aboveRow: false },
    acknowledged: { stage: 'off', generation: 0, exposure: 0 },
    counts: {
      old: { calls: 5, errors: 3, slow: 5, units: 2, unitsFailed: 1 },
      new: { calls: 0, errors: 0, slow: 0, units: 0, unitsFailed: 0 },
      ...{ compared: 0, mismatches: 0, repairsQueued: 0 },
    },
  });
  expect((await fetch(`${endpoint.url}/`)).status).toBe(404);
  expect((await fetch(`${endpoint.url}/metrics`, { method: 'POST' })).status).toBe(405);
  const own = createServer((request, response) => {
    if (!handleSwitches(request, response)) response.end('mine');
  });
  await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void own.close());
  const at = `http://127.0.0.1:${(own.address() as AddressInfo).port}`;
  expect(await (await fetch(`${at}/metrics`)).text()).toContain('switchback_switch_stage');
  expect(await (await fetch(`${at}/else`)).text()).toBe('mine');
});

test('docs/switch.md has every error', () => {
  const page = readFileSync('docs/switch.md', 'utf8');
  for (const [code, means] of Object.entries(SWITCH_ERROR_CODES)) expect(page).toContain(`| \`${code}\` | ${means} |`);
});
