import { expect, onTestFinished, test } from 'vitest';
import { type MetricMemory, type MetricReading, nextWindow } from '../../src/adapters/metrics/metric-window.ts';
import type { Metric, MetricPath } from '../../src/plan/index.ts';
import { createSwitch, serveSwitches } from '../../src/switch/index.ts';
import { room, unique } from '../rollout/room.ts';
import { BEATS, poolOf, until } from '../switch/place.ts';

const signal = new AbortController().signal;

test('what a real switch counts is the same from the ledger, from its endpoint, and after a restart', async () => {
  const here = await room();
  const flag = unique('flag');
  const ledger = poolOf(here.url);
  const begin = () => {
    const names = createSwitch({
      ...{ flag, ledger, service: 'accounts', minimumStage: 'shadow', sample: 1, key: (id: number) => String(id) },
      old: async (id: number) => `name ${id}`,
      new: async (id: number) => {
        if (id % 4 === 0) throw new Error('not there');
        return id === 1 ? 'another' : `name ${id}`;
      },
      ...BEATS,
    });
    onTestFinished(() => names.close());
    return names;
  };
  const read = (source: Partial<Metric>, path: MetricPath) =>
    here.deps.metrics.read(
      { name: 'm', critical: false, ...source },
      { path, intervalMs: 60_000, flag: { environment: 'development', flag } },
      signal,
    );
  const sums = (reading: MetricReading) =>
    reading.kind === 'counter'
      ? Object.values(reading.parts).reduce(
          (sum, { total, bad }) => ({ total: sum.total + total, bad: sum.bad + bad }),
          { total: 0, bad: 0 },
        )
      : null;
  const told = (path: MetricPath, total: number) =>
    until(async () => {
      const reading = await read({ switch: { count: 'errors' } }, path);
      return sums(reading)?.total === total ? reading : null;
    });

  const first = begin();
  const endpoint = await serveSwitches({ port: 0 });
  onTestFinished(() => endpoint.close());
  for (let id = 1; id <= 8; id++) expect(await first.read(id)).toBe(`name ${id}`);
  const counted = await told('new', 8);
  expect(sums(counted)).toEqual({ total: 8, bad: 2 });
  expect(sums(await told('old', 8))).toEqual({ total: 8, bad: 0 });
  expect(sums(await read({ switch: { count: 'mismatches' }, max: 0 }, 'new'))).toMatchObject({ bad: 1 });
  const { switches } = (await (await fetch(`${endpoint.url}/switchback`)).json()) as { switches: { flag: string }[] };
  const at = `/switches/${switches.findIndex((each) => each.flag === flag)}/counts/$path`;
  const http = { url: `${endpoint.url}/switchback`, bad: `${at}/errors`, total: `${at}/calls` };
  expect(sums(await read({ http }, 'new'))).toEqual({ total: 8, bad: 2 });

  // Another instance begins at 0, and the first one ends.
  const memory: MetricMemory | null = nextWindow(null, counted, 60_000).memory;
  const second = begin();
  await second.read(4);
  await second.read(5);
  await told('new', 10);
  await first.close();
  const after = await told('new', 2);
  expect(nextWindow(memory, after, 60_000).window).toEqual({ total: 2, bad: 1 });
});
