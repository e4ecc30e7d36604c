import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import type { BeginResult, CheckedPlan, RecordedStep, RecordStepInput } from '../activities/lifecycle.ts';
import type { AuditEvent, RunRef } from '../messages/index.ts';
import type { Kind, Risk } from '../plan/index.ts';
import { remote } from './activities.ts';
import { isFenced, isLost, Stop } from './failure.ts';
import { summaryOf } from './summary.ts';
import { logEvent } from './log.ts';
import { databasesOf, stepOf, type MigrationState, type StepProgress, startOver } from './state.ts';
import { openWindow } from './windows.ts';

/** Bounds on one go of an activity: what is reached first interrupts it. */
export interface Limit {
  ms: number;
  /** What it is, after the name of the step. */
  words: string;
  reached(): void;
}
export interface Watch {
  over: boolean;
}

/**
 * The run as its fibers see it. Everything that waits, waits through here, so that one verb, *interrupt*, serves pause,
 * throttle change, window close, continue-as-new and abort: cancel, wait for the activity's end, later start it again
 * from the ledger's cursor.
 */
export class Run {
  readonly state: MigrationState;
  readonly checked: CheckedPlan;
  /** Set by whoever changed what people see; the publisher clears it. */
  dirty = true;
  /** Events that have not reached the ledger yet. */
  outbox: AuditEvent[] = [];
  renewing = false;
  /** Set when a reset brought back a run whose migration has ended since: it is started again from the top. */
  restarting = false;
  /** Users are being taken off a new path. */
  lowering: Promise<void> | null = null;
  readonly #scopes = new Map<string, CancellationScope>();
  #registering: Promise<void> | null = null;

  constructor(state: MigrationState, checked: CheckedPlan) {
    this.state = state;
    this.checked = checked;
  }

  get ref(): RunRef {
    if (this.state.run === null) throw new Error('the run is not registered yet');
    return this.state.run;
  }
  get databases(): string[] {
    return databasesOf(this.checked);
  }
  riskOf(phase: string): Risk {
    return this.checked.risks[phase] ?? this.checked.plan.spec.risk;
  }

  changed(): void {
    this.dirty = true;
  }

  event(type: string, by: string | null, data: Record<string, unknown>): void {
    this.state.events += 1;
    this.outbox.push({ key: `${this.ref.generation}.${this.state.events}`, type, by, data });
    this.#logged(type, data);
    this.changed();
  }

  #logged(type: string, { step, what, phase, gate, code }: Record<string, unknown>): void {
    const id = textOf(step) ?? textOf(what);
    const of = id === undefined ? undefined : stepOf(this.checked, id)?.phase.name;
    const inPhase = textOf(phase) ?? of ?? textOf(gate)?.split('/')[0];
    logEvent(type, { step: id, phase: inPhase, gate: textOf(gate), code: textOf(code) });
  }

  /** Whether the fibers are to end now: the run turns round, or continues as new. */
  get stopping(): boolean {
    const { ended, turning, direction } = this.state;
    return this.renewing || this.restarting || ended !== null || (turning !== null && direction === 'up');
  }

  /**
   * Whether nothing may go on for now: it is paused, something is held that all else waits for, or exposure is being
   * raised again after a breach.
   */
  get standing(): boolean {
    return this.#stands || this.state.breach?.raising !== undefined;
  }
  get #stands(): boolean {
    return this.state.paused !== null || Object.values(this.state.holds).some((hold) => hold.stops === true);
  }

  /** Decides that the run turns round. The first reason stays. */
  turn(turning: NonNullable<MigrationState['turning']>): void {
    if (this.state.direction === 'down' || this.state.turning !== null) return;
    this.state.turning = turning;
    this.state.error = turning.error;
    this.state.paused = null;
    this.state.holds = {};
    if (this.state.breach !== undefined) delete this.state.breach.raising;
    for (const gate of Object.values(this.state.gates)) if (gate.state === 'open') gate.state = 'closed';
    this.event('turning', turning.by, { reason: turning.reason });
    this.interrupt();
  }

  /** Asks for a fresh history at the next safe point; what runs is interrupted and goes on there. */
  renew(): void {
    this.renewing = true;
    this.interrupt();
  }

  /** Whether an activity of that key is under way. */
  underWay(key: string): boolean {
    return this.#scopes.has(key);
  }

  /** Cancels what runs (all, or one key); its fiber decides whether and when to go on. */
  interrupt(key?: string): void {
    for (const [name, scope] of [...this.#scopes]) if (key === undefined || name === key) scope.cancel();
  }

  /** Waits for `predicate`; false after `timeoutMs`, a timer shown as `words`. Throws `Stop` when the fibers are to end. */
  async until(predicate: () => boolean, timeoutMs: number | null = null, words = 'deadline'): Promise<boolean> {
    const met = () => this.stopping || predicate();
    if (timeoutMs === null) await condition(met);
    else if (timeoutMs > 0) await condition(met, timeoutMs, { summary: summaryOf(words) });
    if (this.stopping) throw new Stop();
    return predicate();
  }

  /** Waits like `until`, and says meanwhile, under `key`, what for. */
  async waitSaying(
    key: string,
    words: string,
    predicate: () => boolean,
    timeoutMs: number | null = null,
  ): Promise<boolean> {
    this.state.waiting[key] = words;
    this.changed();
    try {
      return await this.until(predicate, timeoutMs, words);
    } finally {
      delete this.state.waiting[key];
      this.changed();
    }
  }

  /**
   * Runs an activity to its end, however often it is interrupted on the way. Throws what the activity raised, or
   * `Stop`. `kind` names a step kind whose windows count; `watch.over` ends it without a result; it goes on `despite` the
   * run's standing still, or despite exposure's being raised.
   */
  async perform<T>(
    key: string,
    work: () => Promise<T>,
    options: {
      kind?: Kind;
      limit?: () => Limit | null;
      watch?: Watch;
      despite?: 'standing' | 'raising' | undefined;
    } = {},
  ): Promise<T> {
    const stands = (): boolean =>
      options.despite === undefined ? this.standing : options.despite === 'raising' && this.#stands;
    for (;;) {
      await this.until(() => !stands() || options.watch?.over === true);
      if (options.watch?.over === true) throw new Stop();
      const window = options.kind === undefined ? null : await openWindow(this, key, options.kind);
      if (this.stopping || stands()) continue;
      // Last: a step's time runs from here.
      const limits = [options.limit?.() ?? null, window];
      try {
        return await this.#once(
          key,
          work,
          limits.filter((limit) => limit !== null),
        );
      } catch (error) {
        if (isFenced(error)) await this.register();
        else if (!isCancellation(error) && !isLost(error)) throw error;
      }
    }
  }

  async #once<T>(key: string, work: () => Promise<T>, limits: readonly Limit[]): Promise<T> {
    const scope = new CancellationScope({ cancellable: true });
    const timers = new CancellationScope({ cancellable: true });
    this.#scopes.set(key, scope);
    const bounded = limits.map((limit) =>
      timers
        .run(() => sleep(limit.ms, { summary: summaryOf(`${key} ${limit.words}`) }))
        .then(
          () => {
            limit.reached();
            scope.cancel();
          },
          () => undefined,
        ),
    );
    try {
      return await scope.run(work);
    } finally {
      this.#scopes.delete(key);
      if (this.state.degraded !== undefined) delete this.state.degraded[key];
      timers.cancel();
      await Promise.all(bounded);
    }
  }

  /** Writes to the ledger through `work`; where another run is registered there meanwhile, registers this one first. */
  async onRecord<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isFenced(error)) throw error;
        await this.register();
        await this.until(() => true);
      }
    }
  }

  /** Records a step that has no effect of its own in a database; answers with what is on record of it. */
  recordStep(of: Omit<RecordStepInput, 'run'>): Promise<Record<string, unknown>> {
    return this.onRecord(() => remote.recordStep({ run: this.ref, ...of }));
  }

  /** Registers this run in the ledgers and takes over what is recorded there. Several fibers may ask at once. */
  register(): Promise<void> {
    this.#registering ??= this.#register().finally(() => {
      this.#registering = null;
    });
    return this.#registering;
  }

  async #register(): Promise<void> {
    const { plan, digest } = this.checked;
    const { name, version, owner } = plan.metadata;
    const { baseState } = plan.spec;
    this.adopt(
      await remote.begin({
        plan: { name, version, owner, databases: this.databases },
        document: plan,
        digest,
        requestedBy: this.state.requestedBy,
        ...(baseState !== undefined && { baseState }),
      }),
    );
  }

  /** Takes over what the ledgers say. They are the truth: a reset brings the workflow back, never the data. */
  adopt({ outcome, steps, approvedGates }: BeginResult): void {
    if (outcome.kind === 'nothing-to-do') {
      this.state.ended = 'completed';
      return;
    }
    if (this.state.run !== null && this.state.run.epoch !== outcome.run.epoch) {
      startOver(this.state, this.checked);
      this.restarting = true;
    }
    this.state.run = outcome.run;
    const recorded = new Map(steps.map((step) => [step.step, step]));
    for (const [id, step] of Object.entries(this.state.steps)) {
      takeOver(step, recorded.get(id));
      // What is done is not held any more; on the way down, `done` is what is still to be undone.
      if (step.state === (this.state.direction === 'up' ? 'done' : 'undone')) delete this.state.holds[id];
    }
    this.state.approvedBefore = approvedGates;
    if (outcome.direction === 'down' && this.state.direction === 'up') {
      const reason = 'the ledger says that this migration is rolling back';
      this.turn({ reason, by: null, error: null, recorded: true });
    }
    this.changed();
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** Brings a step's progress in line with its record. No record means no effect: they commit together. */
function takeOver(step: StepProgress, recorded: RecordedStep | undefined): void {
  if (recorded === undefined) {
    if (step.state === 'done') step.state = 'pending';
    return;
  }
  if (recorded.touched) step.touched = true;
  step.note = recorded.note ?? step.note;
  if (recorded.state === 'applied') step.state = 'done';
  else if (recorded.state === 'undone' || recorded.state === 'skipped') step.state = recorded.state;
  else if (step.state === 'done') step.state = 'pending';
}
