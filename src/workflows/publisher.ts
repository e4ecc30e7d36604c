import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { condition, patched, setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { SearchAttributeUpdatePair } from '@temporalio/common';
import { isEnd, type Status } from '../messages/index.ts';
import { local } from './activities.ts';
import { detailsOf } from './details.ts';
import type { Run } from './run.ts';
import { refreshEveryMs } from './refresh.ts';
import { anyStepWorks, statusOf } from './run-status.ts';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const keywords = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD_LIST);

/** Where a fresh history is asked for by the run itself; Temporal's own suggestion counts too. */
const HISTORY_EVENTS_MAX = 8_000;

/** Brings the run's state to where people look: search attributes, current details, the home ledger. */
export class Publisher {
  readonly #run: Run;
  #shown = { status: '', phase: '' };
  #closed = false;
  /** Rounds that are being written. */
  #writing = 0;

  constructor(run: Run) {
    this.#run = run;
  }

  /** Publishes whenever something changed, several changes at once, until `close`. */
  async start(): Promise<void> {
    for (;;) {
      await condition(() => this.#closed || this.#run.dirty);
      if (this.#closed) return;
      await this.publish();
      const { continueAsNewSuggested, historyLength } = workflowInfo();
      if ((continueAsNewSuggested || historyLength > HISTORY_EVENTS_MAX) && !this.#run.renewing) this.#run.renew();
    }
  }

  async refresh(): Promise<void> {
    const since = Date.now();
    // While a run unwinds for a fresh history no timer begins or ends here: it could come before that end or after it, and
    // the replay may see the other (seen once: a timer that the history didn't have).
    const unwinds = patched('refresh-rests') ? () => this.#run.renewing : () => false;
    for (;;) {
      await condition(() => this.#closed || (anyStepWorks(this.#run.state) && !unwinds()));
      if (this.#closed) return;
      // Its timer has no summary: thousands of them would bury what Temporal UI lists under 'Events with Metadata'.
      const everyMs = refreshEveryMs(Date.now() - since);
      const idle = (): boolean => !anyStepWorks(this.#run.state) && !unwinds();
      if (await condition(() => this.#closed || idle(), everyMs)) continue;
      const beats = await local.readProgress(this.#run.ref);
      this.#run.state.degraded = Object.fromEntries(
        beats.flatMap(({ step, degraded }) =>
          degraded !== undefined && this.#run.underWay(step) ? [[step, degraded]] : [],
        ),
      );
      for (const { step, progress, note } of beats) {
        const at = this.#run.state.steps[step];
        if (at?.state !== 'running' && at?.state !== 'undoing') continue;
        at.progress = progress;
        at.note = note;
      }
      this.#run.changed();
    }
  }
  /** One round: shows the state, and writes it with the events that came since to the home ledger. */
  async publish(): Promise<Status> {
    const run = this.#run;
    run.dirty = false;
    const status = statusOf(run.state, run.checked, Date.now());
    this.#show(status);
    if (run.state.run === null || isEnd(status.status)) return status;
    this.#writing += 1;
    const events = run.outbox.splice(0);
    try {
      await local.record({ run: run.ref, events, status });
    } finally {
      this.#writing -= 1;
    }
    return status;
  }

  /** Writes all there is to write. */
  async flush(): Promise<void> {
    await condition(() => this.#writing === 0);
    while (this.#run.outbox.length > 0) {
      await this.publish();
      await condition(() => this.#writing === 0);
    }
  }

  /** Stops both loops. */
  close(): void {
    this.#closed = true;
  }

  #show(status: Status): void {
    const { plan } = this.#run.checked;
    const phase = status.phases.find((one) => !['pending', 'done', 'undone'].includes(one.state))?.name ?? '';
    const first = this.#shown.status === '';
    const pairs: SearchAttributeUpdatePair[] = [];
    if (status.status !== this.#shown.status) pairs.push({ key: keyword('SwitchbackStatus'), value: status.status });
    if (phase !== this.#shown.phase)
      pairs.push({ key: keyword('SwitchbackPhase'), value: phase === '' ? null : phase });
    if (first) {
      pairs.push(
        { key: keyword('SwitchbackOwner'), value: plan.metadata.owner },
        { key: keyword('SwitchbackRisk'), value: plan.spec.risk },
      );
      pairs.push({ key: keywords('SwitchbackServices'), value: Object.keys(plan.spec.services) });
    }
    if (pairs.length > 0) upsertSearchAttributes(pairs);
    this.#shown = { status: status.status, phase };
    setCurrentDetails(detailsOf(status, this.#run.state));
  }
}
