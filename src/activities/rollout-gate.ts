import { createHash } from 'node:crypto';
import type { Queryable } from '../adapters/postgres/database.ts';
import { type ClosedWindow, GateWindows, type OpenWindow } from '../adapters/postgres/gate-windows.ts';
import { type CountedMetric, type GateVerdict, gateVerdict, type ValueMetric } from '../analysis/gate-verdict.ts';
import { SwitchbackError } from '../messages/index.ts';
import { durationMs, metricForm, type StepOf } from '../plan/index.ts';
import type { EffectContext } from './effect.ts';
import type { FlagChange } from './flag-change.ts';
import { gateDeadlineMs } from './gate-deadline.ts';
import { type Memories, type Reading, readMetrics, sourceOf } from './gate-readings.ts';
import { gateWords } from './gate-words.ts';

/** A stop of the ramp, as its gate sees it. */
export interface GateStop {
  index: number;
  /** How people know it: `25 %`, `stage live`. */
  words: string;
  bakeMs: number;
  /** Whether anybody is on the new path. */
  exposed: boolean;
  /** Whether nobody needs to be on the old one. */
  oldUnused: boolean;
}
/** What has been proven of a stop, with this look. */
export interface Proven {
  bakedMs: number;
  /** How long it has looked for evidence since its bake was over. */
  waitedMs: number;
}
export interface Judged {
  /** Whether every source had something to say: else the look proves nothing. */
  seen: boolean;
  verdict: GateVerdict;
  note: string;
  /** Whether this look is the one that counted; another worker may have been quicker. */
  kept: boolean;
  proven: Proven;
}

/** A look that comes later than this many intervals looks back no further. */
const CATCH_UP_INTERVALS_MAX = 10;
const SILENT_LOOKS_MAX = 3;
const MEASURABLE_MS = 1_000;

/**
 * The statistical gate of a rollout: reads the metrics of both paths at each interval, keeps what they counted in the home
 * ledger, and says by `src/analysis` what that means. It owns windows and verdict; its caller owns exposure, bake time and
 * what becomes of a verdict. A window is opened when the flag stands at its stop, so that it never spans two exposures.
 */
export class Gate {
  readonly intervalMs: number;
  readonly #analysis: NonNullable<StepOf<'rollout'>['analysis']>;
  readonly #change: FlagChange;
  readonly #context: EffectContext;
  readonly #windows: GateWindows;
  readonly #series: number;
  readonly #closed: ClosedWindow[] = [];
  #open: OpenWindow | null = null;
  #openedAt = 0;
  #silentLooks = 0;

  constructor(
    analysis: NonNullable<StepOf<'rollout'>['analysis']>,
    change: FlagChange,
    context: EffectContext,
    series: number,
  ) {
    this.#analysis = analysis;
    this.#change = change;
    this.#context = context;
    this.#windows = new GateWindows(context.deps.home.database);
    this.#series = series;
    this.intervalMs = durationMs(analysis.interval);
  }

  /** Takes up the window that is open at this stop, or opens one: from here on things are counted. */
  async begin(stop: GateStop): Promise<void> {
    await this.#load();
    if (this.#open?.series === this.#series && this.#open.stop === stop.index) return;
    // What counters stand at now is where this stop begins; a new series remembers nothing.
    const memories = this.#open?.series === this.#series ? (this.#open.memory as Memories) : {};
    const openedAt = await this.#windows.now();
    const readings = await readMetrics(this.#analysis, this.#change, this.#lookAt(stop, memories), this.#context);
    const next = { after: this.#open?.number ?? 0, series: this.#series, stop: stop.index, openedAt };
    await this.#change.locked((session) =>
      this.#windows.begin(session, this.#change.key, { ...next, memory: memoryOf(readings) }),
    );
    // Whoever was quicker has opened it.
    await this.#load();
  }

  /**
   * How long until the next look; 0: now. `leftMs` of the bake are still to be proven, `pendingMs` have been since the last
   * look: the last look of a bake comes when the bake ends, though not before there is something to measure.
   */
  dueInMs(stop: GateStop, leftMs: number, pendingMs: number): number {
    const openMs = performance.now() - this.#openedAt;
    const leastMs = stop.exposed ? Math.min(MEASURABLE_MS, this.intervalMs) : 0;
    if (leftMs <= 0) return stop.exposed ? Math.max(0, this.intervalMs - openMs) : 0;
    return Math.max(0, Math.min(this.intervalMs - openMs, Math.max(leastMs - openMs, leftMs - pendingMs)));
  }

  /**
   * One look: closes the window, if nobody else has, and judges. `keep` writes what it proves of the stop, in the same
   * transaction. Throws `GateNoData` where silence fails the step.
   */
  async look(
    stop: GateStop,
    prove: (seen: boolean, openMs: number) => Proven,
    keep: (session: Queryable, proven: Proven) => Promise<void>,
  ): Promise<Judged> {
    const open = this.#open;
    if (open === null) throw new Error('no window is open');
    const endedAt = await this.#windows.now();
    const openMs = performance.now() - this.#openedAt;
    const readings = await readMetrics(
      this.#analysis,
      this.#change,
      this.#lookAt(stop, open.memory as Memories, openMs),
      this.#context,
    );
    // Where nobody is on the new path, there is nothing that it could have counted.
    const seen = readings.every(
      ({ silent, metric }) => silent === null || (!stop.exposed && metricForm(metric) === 'ratio'),
    );
    const proven = prove(seen, openMs);
    const counts = new Map(
      readings.flatMap(({ metric, counts: found }) => (found === null ? [] : [[metric.name, found]])),
    );
    const kept = await this.#change.locked(async (session) => {
      const next = { after: open.number, series: this.#series, stop: stop.index, openedAt: endedAt };
      const mine = await this.#windows.begin(session, this.#change.key, { ...next, memory: memoryOf(readings) });
      if (!mine) return false;
      await this.#windows.keep(session, this.#change.key, open, endedAt, counts);
      await keep(session, proven);
      return true;
    });
    await this.#load();
    const verdict = this.#judge(stop, proven, readings);
    this.#countSilence(seen, readings);
    return { seen, verdict, note: gateWords(verdict, readings), kept, proven };
  }

  #lookAt(stop: GateStop, memories: Memories, openMs = this.intervalMs) {
    const longest = CATCH_UP_INTERVALS_MAX * this.intervalMs;
    // Texts of a plan take whole seconds.
    const intervalMs = Math.max(MEASURABLE_MS, Math.floor(Math.min(openMs, longest) / 1000) * 1000);
    return { intervalMs, memories, oldUnused: stop.oldUnused };
  }

  async #load(): Promise<void> {
    this.#open = await this.#windows.open(this.#change.key);
    this.#openedAt = performance.now() - (this.#open?.openMs ?? 0);
    // What is closed never changes: only what came since is read.
    const known = this.#closed.at(-1)?.number ?? 0;
    this.#closed.push(...(await this.#windows.closed(this.#change.key, this.#series, known)));
  }

  #judge(stop: GateStop, proven: Proven, readings: readonly Reading[]): GateVerdict {
    return gateVerdict({
      alpha: this.#analysis.alpha,
      minSamples: this.#analysis.minSamples,
      metrics: readings.map((reading) => this.#judged(stop, reading)),
      bakedMs: proven.bakedMs,
      bakeMs: stop.bakeMs,
      deadlinePassed: proven.waitedMs >= gateDeadlineMs(this.#analysis, stop.bakeMs),
      exposed: stop.exposed,
    });
  }

  #judged(stop: GateStop, { metric, value, silent }: Reading): CountedMetric | ValueMetric {
    const { name, critical, margin, max } = metric;
    if (metricForm(metric) === 'limit') return { kind: 'value', name, value, max: max ?? null, critical, silent };
    const windows = this.#closed.filter((window) => window.metric === name);
    const countsAt = (here: boolean) =>
      windows.filter((window) => (window.stop === stop.index) === here).map(({ counts }) => counts);
    return {
      kind: 'counts',
      name,
      before: countsAt(false),
      here: countsAt(true),
      margin: margin ?? null,
      max: max ?? null,
      critical,
      silent,
    };
  }

  #countSilence(seen: boolean, readings: readonly Reading[]): void {
    this.#silentLooks = seen ? 0 : this.#silentLooks + 1;
    if (this.#analysis.onNoData !== 'fail' || this.#silentLooks < SILENT_LOOKS_MAX) return;
    const silent = readings.filter((reading) => reading.silent !== null);
    const words = silent.map(({ metric, silent: why }) => `${metric.name} (${sourceOf(metric)}): ${why}`).join('; ');
    throw new SwitchbackError('GateNoData', `no data, ${this.#silentLooks} looks in a row: ${words}`, {
      hint: 'bring the source back, or look at what its query names, then `retry`',
      fields: { metrics: silent.map(({ metric }) => metric.name).join(', ') },
    });
  }
}

const memoryOf = (readings: readonly Reading[]): Record<string, unknown> =>
  Object.fromEntries(readings.map(({ metric, memory }) => [metric.name, memory]));

/** The new path is shown to be worse: exposure is lowered, and `onFailure` says what comes next. */
export const gateFailed = (flag: string, stop: GateStop, { reason }: GateVerdict): SwitchbackError =>
  new SwitchbackError('GateFailed', `flag "${flag}" at ${stop.words}: the new path is worse: ${reason}`, {
    hint: 'look at what the metric counts on the new path; a `retry` after `onFailure: hold` begins with fresh evidence',
    fields: { flag, stop: stop.index },
  });

/** Neither is shown: a person decides, and sees all that the gate has. */
export function gateInconclusive(
  of: { flag: string; migration: string; step: string },
  stop: GateStop,
  { reason, metrics }: GateVerdict,
): SwitchbackError {
  const shown = JSON.stringify([of.flag, of.step, stop.index, metrics]);
  const accept = createHash('sha256').update(shown).digest('hex').slice(0, 16);
  const cases = metrics.map(({ name, words }) => `${name}: ${words}`).join('; ');
  return new SwitchbackError('GateInconclusive', `flag "${of.flag}" at ${stop.words}: ${reason}. The case: ${cases}`, {
    hint: `\`retry\` looks on for as long again; switchback retry ${of.migration} ${of.step} --accept ${accept} goes on to the next stop with the case as it is; \`abort\` rolls back`,
    fields: { hold: true, accept, flag: of.flag, stop: stop.index },
  });
}
