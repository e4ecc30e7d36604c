import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import pino from 'pino';
import { onTestFinished } from 'vitest';
import { createConditions } from '../../src/activities/conditions.ts';
import type { Deps } from '../../src/activities/deps.ts';
import type { EffectContext, EffectInput } from '../../src/activities/effect.ts';
import { createMetrics } from '../../src/activities/metrics.ts';
import type { Conditions } from '../../src/adapters/metrics/conditions.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import { Unleash } from '../../src/adapters/unleash/unleash.ts';
import type { Heartbeat, RunRef } from '../../src/messages/index.ts';
import type { Condition, FlagDefinition, Kind, StepOf } from '../../src/plan/index.ts';
import { planSchema } from '../../src/plan/index.ts';
import { type FlakyUnleash, flakyUnleash } from '../harness/flaky-unleash.ts';
import { freshDatabase, servers } from '../harness/servers.ts';

/** A home ledger of its own, the real Unleash, and what effects get from `runEffect`. */
export interface Room {
  deps: Deps;
  run: RunRef;
  url: string;
  unleash: Unleash;
  reports: Omit<Heartbeat, 'step'>[];
  context(options?: { signal?: AbortSignal; unleash?: Unleash; prometheusUrl?: string }): EffectContext;
  /** A report that satisfies `matches`, now or later: tests wait for what happens, not for time to pass. */
  reported(matches: (report: Omit<Heartbeat, 'step'>) => boolean): Promise<void>;
  /** A newer run takes over, as a rollback does. */
  raise(): Promise<RunRef>;
}

export async function room(): Promise<Room> {
  const { url } = await freshDatabase('rollout');
  const databases = new Databases({ app: { url } });
  const database = databases.get('app');
  await upgradeLedger(database, { home: true });
  const { unleash: server } = servers();
  const unleash = new Unleash({ url: server.url, adminToken: server.adminToken });
  const log = pino({ level: 'silent' });
  const run: RunRef = { migration: unique('migration'), version: 1, digest: 'd', epoch: 1, generation: 1 };
  await new StepLedger(database).raiseFence(run);
  const reports: Omit<Heartbeat, 'step'>[] = [];
  const listeners = new Set<() => void>();
  const closers: (() => Promise<void>)[] = [];
  const depsOf = (of: { unleash?: Unleash; prometheusUrl?: string }): Deps => {
    const prometheusUrl = of.prometheusUrl ?? null;
    const home = new HomeLedger(database);
    const conditions = createConditions({ databases, prometheusUrl, unleash: server });
    closers.push(() => conditions.close());
    return {
      databases,
      home,
      unleash: of.unleash ?? unleash,
      conditions,
      metrics: createMetrics({ databases, home, prometheusUrl }),
      approvers: {},
      notices: null,
      log,
    };
  };
  onTestFinished(async () => {
    for (const close of closers) await close();
    await databases.close();
  });
  return {
    deps: depsOf({}),
    run,
    url,
    unleash,
    reports,
    context: ({ signal = new AbortController().signal, ...of } = {}) => ({
      deps: depsOf(of),
      log,
      signal,
      report(details) {
        reports.push(details);
        for (const listener of listeners) listener();
      },
    }),
    reported: (matches) =>
      new Promise((resolve) => {
        const look = () => {
          if (!reports.some(matches)) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        look();
      }),
    async raise() {
      const next = { ...run, generation: run.generation + 1 };
      await new StepLedger(database).raiseFence(next);
      return next;
    },
  };
}

export const unique = (prefix: string): string => `${prefix}-${randomBytes(5).toString('hex')}`;

/** The input of a step's activity, its step as a plan writes it. */
export function inputOf<K extends Kind>(
  run: RunRef,
  step: { uses: K } & Record<string, unknown>,
  flag: Partial<FlagDefinition> = {},
) {
  const plan = planSchema.parse({
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'a', version: 1, owner: 'o' },
    spec: {
      summary: 's',
      flags: { f: { propagation: '0s', ...flag } },
      phases: [{ name: 'p', steps: [{ id: 's', ...step }] }],
    },
  });
  return {
    run,
    direction: 'up',
    phase: 'p',
    risk: 'low',
    requestedBy: 'ana@example.com',
    step: plan.spec.phases[0]?.steps[0] as StepOf<K>,
    of: null,
    flag: plan.spec.flags['f'] ?? null,
    throttle: null,
  } satisfies EffectInput<K>;
}

export interface LocalServer {
  url: string;
  requests: string[];
}
/** A server of this machine that answers as `answer` says. */
export async function serve(
  answer: (request: IncomingMessage) => { status?: number; body?: unknown } | 'hang up',
): Promise<LocalServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const given = answer(request);
    if (given === 'hang up') {
      request.socket.destroy();
      return;
    }
    response.writeHead(given.status ?? 200, { 'content-type': 'application/json' });
    response.end(typeof given.body === 'string' ? given.body : JSON.stringify(given.body ?? null));
  });
  return { url: await listen(server), requests };
}

/** Passes requests on to the real Unleash, and hangs up on the one that `cuts` picks: before it, or before its answer. */
export async function unreliableUnleash(cuts: (count: number) => 'before' | 'after' | null): Promise<FlakyUnleash> {
  const flaky = await flakyUnleash(servers().unleash.url, ({ write }) => (write === null ? null : cuts(write)));
  onTestFinished(flaky.close);
  return flaky;
}

/** A port at which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A condition with the defaults that the plan's parser fills in. */
export const conditionOf = (source: Record<string, unknown>): Condition => {
  const run = { migration: 'm', version: 1, digest: 'd', epoch: 1, generation: 1 };
  const { step } = inputOf(run, { uses: 'wait', for: '1s', guards: [{ name: 'c', ...source }] });
  return step.guards[0] as Condition;
};

/** Conditions without a ledger: what needs no database of its own is read in a moment. */
export function conditionsOf({
  databases: named = {},
  prometheusUrl = null,
}: {
  databases?: ConstructorParameters<typeof Databases>[0];
  prometheusUrl?: string | null;
} = {}): Conditions {
  const databases = new Databases(named);
  const conditions = createConditions({ databases, prometheusUrl });
  onTestFinished(async () => {
    await conditions.close();
    await databases.close();
  });
  return conditions;
}
