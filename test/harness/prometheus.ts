import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildWithGo, cachedBinary } from '../../src/dev/cached-binary.ts';
import { freePort } from '../../src/dev/ports.ts';
import { startProcess, startServer } from '../../src/dev/server-process.ts';

/** 3.13.2, from the Go module proxy. */
const VERSION = '0.313.2';
const MODULE = 'github.com/prometheus/prometheus';
const READY_MAX_MS = 60_000;
const run = promisify(execFile);

/**
 * Its go.mod has replacements, which `go install` refuses: a module that asks for it doesn't see them. Without service
 * discovery of clouds, and not optimised: two minutes of CPU rather than three and a quarter.
 */
const build = buildWithGo({
  what: 'Prometheus for the tests',
  about: 'beside them, about 2 minutes of CPU',
  output: 'prometheus',
  prepare: (dir) =>
    writeFile(join(dir, 'go.mod'), `module switchback-test-prometheus\n\ngo 1.25\n\nrequire ${MODULE} v${VERSION}\n`),
  command: (dir) =>
    [
      ...(process.platform === 'win32' ? ([] as const) : (['nice', '-n', '19'] as const)),
      'go',
      'build',
      '-mod=mod',
      '-trimpath',
      ...['-tags', 'remove_all_sd', '-gcflags=all=-N -l -dwarf=false', '-gcflags=std=', '-ldflags=-s -w'],
      ...['-o', join(dir, process.platform === 'win32' ? 'prometheus.exe' : 'prometheus'), `${MODULE}/cmd/prometheus`],
    ] as [string, ...string[]],
});

const works = async (command: string): Promise<boolean> => {
  try {
    const { stdout, stderr } = await run(command, ['--version'], { timeout: 10_000 });
    return `${stdout}${stderr}`.includes('prometheus');
  } catch {
    return false;
  }
};

/** A Prometheus from the first of: PATH, our cache, a build with Go. */
export const findPrometheus = (say: (line: string) => void): Promise<{ found: string } | { why: string[] }> =>
  cachedBinary(
    { what: 'Prometheus', command: 'prometheus', file: `test-prometheus-${VERSION}`, works, ways: [build] },
    say,
  );

/** A sample of a series; `flags: 1` is OTLP's word for a series that has ended. */
export interface Sample {
  name: string;
  labels?: Record<string, string>;
  /** In seconds since 1970. */
  at: number;
  value: number;
  ended?: boolean;
}

export interface TestPrometheus {
  url: string;
  /** Stores samples with the times that they have, in the order given; each series forward in time. */
  store(samples: readonly Sample[]): Promise<void>;
  stop(): Promise<void>;
}

/** Starts an empty Prometheus that scrapes only what `scrape` names and takes samples over OTLP. */
export async function startPrometheus(command: string): Promise<TestPrometheus> {
  const dir = await mkdtemp(join(tmpdir(), 'switchback-test-prometheus-'));
  const config = join(dir, 'prometheus.yml');
  await writeFile(
    config,
    'storage: {tsdb: {out_of_order_time_window: 30m}}\notlp: {translation_strategy: NoTranslation}\n',
  );
  const logFile = join(dir, 'prometheus.log');
  const started = await startServer({ name: 'Prometheus', logFile }, async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const process = await startProcess({
      name: 'Prometheus',
      command,
      args: [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(dir, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--web.enable-otlp-receiver',
      ],
      logFile,
      stopSignal: 'SIGTERM',
      graceMs: 10_000,
    });
    return { process, probe: () => ready(url), timeoutMs: READY_MAX_MS, result: { url, process } };
  });
  return {
    url: started.url,
    store: (samples) => store(started.url, samples),
    async stop() {
      await started.process.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function ready(url: string): Promise<void> {
  const response = await fetch(`${url}/-/ready`);
  if (!response.ok) throw new Error(`Prometheus answers ${response.status}`);
}

async function store(url: string, samples: readonly Sample[]): Promise<void> {
  const metrics = samples.map(({ name, labels = {}, at, value, ended = false }) => ({
    name,
    gauge: {
      dataPoints: [
        {
          timeUnixNano: `${Math.round(at * 1000)}000000`,
          asDouble: Number.isFinite(value) ? value : String(value),
          attributes: Object.entries(labels).map(([key, stringValue]) => ({ key, value: { stringValue } })),
          ...(ended && { flags: 1 }),
        },
      ],
    },
  }));
  const response = await fetch(`${url}/api/v1/otlp/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }),
  });
  if (!response.ok) throw new Error(`Prometheus does not store: ${response.status} ${await response.text()}`);
}
