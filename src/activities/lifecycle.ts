import { Context } from '@temporalio/activity';
import { forgetImages } from '../adapters/postgres/before-images.ts';
import { Claims, type ClaimHolder, type TableClaim } from '../adapters/postgres/claims.ts';
import type { Database } from '../adapters/postgres/database.ts';
import type { BeginOutcome } from '../adapters/postgres/home-ledger.ts';
import { upgradeLedger, upgradeOlderLedger } from '../adapters/postgres/ledger-schema.ts';
import { StepLedger, type StepRecordState } from '../adapters/postgres/step-ledger.ts';
import type { AuditEvent, EndStatus, Heartbeat, RunRef, Status } from '../messages/index.ts';
import type { Plan, Risk } from '../plan/index.ts';
import { plannedDeprecations } from '../plan/deprecations.ts';
import { checkPlan, PlanError } from '../plan/file/index.ts';
import { assertBaseState, type BaseState } from './base-state.ts';
import type { Deps } from './deps.ts';
import { takeBaselines, takeOverSchemas } from './drift.ts';
import { contextOfPlan, contextOfStatus, recordEvents } from './notices.ts';
import { pause } from './pause.ts';
import { asActivity, asFailure } from './run-effect.ts';

/** What the workflow knows of a plan once it is checked. */
export interface CheckedPlan {
  plan: Plan;
  digest: string;
  claims: TableClaim[];
  /** The risk of each phase, as the plan says or raised by the engine. */
  risks: Record<string, Risk>;
}
export interface BeginInput {
  plan: { name: string; version: number; owner: string; databases: string[] };
  /** The plan as checked, kept in the home ledger for reports. */
  document: unknown;
  digest: string;
  requestedBy: string;
  /** The schemas that the plan was written for; absent where it names none. */
  baseState?: BaseState;
}
/** A step's record in one of the ledgers, as the workflow needs it to go on. */
export interface RecordedStep {
  step: string;
  state: StepRecordState;
  note: string | null;
  /** False where it was left out before it did anything. */
  touched: boolean;
}
export interface BeginResult {
  outcome: BeginOutcome;
  steps: RecordedStep[];
  /** Gates that were approved for this digest in this epoch, those of windows too. */
  approvedGates: string[];
}
export interface TurnInput {
  run: RunRef;
  databases: string[];
  event: AuditEvent;
  /** Steps that can't be undone and may have taken effect, as far as the workflow knows. */
  irreversible?: { step: string; database: string }[];
}
/** The run under its new generation; `passed`: it doesn't turn, because this step has taken the way back. */
export type Turned = RunRef & { passed?: { step: string; note: string | null } };
export interface RecordStepInput {
  run: RunRef;
  phase: string;
  step: string;
  kind: string;
  state: StepRecordState;
  note: string | null;
  detail: Record<string, string | number | null>;
}

/** The activities by which a run registers, claims, records and ends: everything but the steps' own effects. */
export function createLifecycle(deps: Deps) {
  const claims = new Claims(deps.home.database);
  const homeSteps = new StepLedger(deps.home.database);
  const ledgersOf = (databases: readonly string[]): [Database, ...Database[]] => {
    const targets = [...new Set(databases)].map((name) => deps.databases.get(name));
    return [deps.home.database, ...targets.filter((target) => target !== deps.home.database)];
  };

  return {
    /** Reads and checks the plan. The only way in: inner code gets a checked plan and never checks again. */
    async checkPlan(plan: unknown): Promise<CheckedPlan> {
      const checked = await checkPlan(plan);
      if (!checked.ok) throw asFailure(new PlanError(checked.problems));
      return { plan: checked.plan, digest: checked.digest, claims: checked.claims, risks: checked.risks };
    },

    /** Registers the run and fences off every other one. Idempotent for one workflow run. */
    async begin(input: BeginInput): Promise<BeginResult> {
      try {
        const ledgers = ledgersOf(input.plan.databases);
        const [home, ...targets] = ledgers;
        await upgradeLedger(home, { home: true });
        // First of all: a start that is refused has changed nothing, and is not on record as begun.
        if (input.baseState !== undefined && (await deps.home.startsAnew(input.plan.name, input.plan.version)))
          await assertBaseState(deps, input.baseState);
        for (const ledger of targets) await upgradeLedger(ledger, { home: false });
        const fences = await Promise.all(ledgers.map((of) => new StepLedger(of).highestFence(input.plan.name)));
        const outcome = await deps.home.begin({
          fence: Math.max(...fences),
          migration: input.plan.name,
          version: input.plan.version,
          digest: input.digest,
          owner: input.plan.owner,
          requestedBy: input.requestedBy,
          runId: runId(),
          namespace: Context.current().info.namespace,
          plan: input.document,
        });
        if (outcome.kind === 'nothing-to-do') return { outcome, steps: [], approvedGates: [] };
        const steps: RecordedStep[] = [];
        for (const ledger of ledgers) {
          const stepLedger = new StepLedger(ledger);
          await stepLedger.raiseFence(outcome.run);
          for (const { step, state, note, detail } of await stepLedger.list(outcome.run))
            steps.push({ step, state, note, touched: detail['touched'] !== 'no' });
        }
        await noteStart(deps, outcome.run, input);
        const approvals = await deps.home.events(outcome.run, ['gate-approved', 'window-overridden']);
        return {
          outcome,
          steps,
          approvedGates: approvals.map((event) => String(event.data['gate'])),
        };
      } catch (error) {
        throw asFailure(error);
      }
    },

    /**
     * Turns the run round: raises the generation, then the fence in every database, which waits for what is under way.
     * Where a step that can't be undone may be under way, it is first seen whether it took effect: then the run doesn't
     * turn, and `passed` is that step.
     */
    async turn(input: TurnInput): Promise<Turned> {
      const raiseFences = async (run: RunRef): Promise<void> => {
        for (const ledger of ledgersOf(input.databases)) await new StepLedger(ledger).raiseFence(run);
      };
      try {
        for (const { step, database } of input.irreversible ?? []) {
          const raised = await deps.home.raise(input.run, runId());
          await raiseFences(raised);
          const record = await new StepLedger(deps.databases.get(database)).read({ run: raised, step });
          if (record?.state === 'applied') return { ...raised, passed: { step, note: record.note } };
        }
        const run = await deps.home.turnDown(input.run, runId());
        await raiseFences(run);
        await deps.home.record(run, [input.event], null);
        return run;
      } catch (error) {
        throw asFailure(error);
      }
    },

    /** Tries to take all claims, and looks at the required migrations; answers with what is in the way. */
    async claim(input: { run: RunRef; tables: TableClaim[]; requires: string[] }): Promise<Obstacles> {
      try {
        return await obstaclesOf(deps, claims, input);
      } catch (error) {
        throw asFailure(error);
      }
    },

    /** Waits, one heartbeating activity for as long as it takes, until what is in the way changes. */
    awaitClaim: (input: {
      run: RunRef;
      tables: TableClaim[];
      requires: string[];
      known: Obstacles;
    }): Promise<Obstacles> =>
      asActivity(deps, { run: input.run, phase: null, step: 'claim' }, async (context) => {
        const known = JSON.stringify(input.known);
        for (;;) {
          const now = await obstaclesOf(deps, claims, input);
          if (JSON.stringify(now) !== known) return now;
          context.report({ progress: null, note: `waits for ${[...now.migrations, ...now.unmet].join(', ')}` });
          await pause(CLAIM_LOOK_EVERY_MS, context.signal);
        }
      }),

    /** Writes events and the status; the same event twice is one. */
    async record(input: { run: RunRef; events: AuditEvent[]; status: Status | null }): Promise<void> {
      const { status } = input;
      const context = status === null ? null : contextOfStatus(status);
      await recordEvents(deps, input.run, input.events, { status, context });
    },

    /** Records a step that has no effect of its own in a database: a wait, an approval, a call. */
    async recordStep(input: RecordStepInput): Promise<Record<string, unknown>> {
      const key = { run: input.run, phase: input.phase, step: input.step, kind: input.kind };
      try {
        // First: as long as the call counts as under way, nobody takes its changes for someone else's.
        if (input.kind === 'call' && (input.state === 'applied' || input.state === 'skipped'))
          await takeOverSchemas(deps, input.run);
        return await deps.home.database.transaction(async (session) => {
          const record = await homeSteps.enter(session, key);
          // What was recorded first stays: a deadline isn't moved by a restart.
          const detail = { ...input.detail, ...record.detail };
          // An intent that comes late, from a worker that was frozen, takes nothing back.
          const state = input.state === 'intended' ? record.state : input.state;
          await homeSteps.record(session, key, state, { detail, note: input.note });
          return detail;
        });
      } catch (error) {
        throw asFailure(error);
      }
    },

    /** A person said 'retry': the count of failures starts anew. */
    async forgive(input: { run: RunRef; step: string }): Promise<void> {
      await deps.home.forgiveFailures(input.run, input.step);
    },

    async countFailure(input: {
      run: RunRef;
      step: string;
      direction: 'up' | 'down';
      message: string;
    }): Promise<number> {
      return deps.home.countFailure(input.run, input.step, input.direction, input.message);
    },

    async readProgress(run: RunRef): Promise<Heartbeat[]> {
      return deps.home.readProgress(run);
    },

    /** Ends the run. One that has completed goes back no more: what was kept for that is deleted. */
    async end(input: {
      run: RunRef;
      state: EndStatus;
      status: Status;
      events: AuditEvent[];
      databases?: string[];
    }): Promise<void> {
      if (input.state === 'completed')
        for (const ledger of ledgersOf(input.databases ?? [])) {
          await upgradeOlderLedger(ledger);
          await forgetImages(ledger, input.run);
        }
      const context = contextOfStatus(input.status);
      await recordEvents(deps, input.run, input.events, { status: null, context });
      await deps.home.end(input.run, input.state, input.status);
    },
  };
}

/** Once in each epoch, however often its run begins: who asked, and what will concern whom. */
async function noteStart(deps: Deps, run: RunRef, { document, requestedBy, digest }: BeginInput): Promise<void> {
  const plan = document as Plan;
  const data = {
    digest,
    summary: plan.spec.summary,
    phases: plan.spec.phases.map(({ name }) => name),
    deprecations: plannedDeprecations(plan),
  };
  const event = { key: 'started', type: 'started', by: requestedBy, data };
  await recordEvents(deps, run, [event], { status: null, context: contextOfPlan(plan, requestedBy) });
}

const runId = (): string => Context.current().info.workflowExecution?.runId ?? '';

/** What keeps a run from starting: migrations that hold its tables, and required ones that have not completed. */
export interface Obstacles {
  holders: ClaimHolder[];
  migrations: string[];
  unmet: string[];
}
const CLAIM_LOOK_EVERY_MS = 1_000;

async function obstaclesOf(
  deps: Deps,
  claims: Claims,
  input: { run: RunRef; tables: TableClaim[]; requires: string[] },
): Promise<Obstacles> {
  const states = await deps.home.statesOf(input.requires);
  const unmet = input.requires.filter((name) => states[name] !== 'completed');
  // Tables are claimed only once the required migrations are through: they may need the same ones.
  const holders = unmet.length > 0 ? [] : await claims.take(input.run, input.tables);
  if (unmet.length === 0 && holders.length === 0) await takeBaselines(deps, input.run, input.tables);
  return { holders, migrations: [...new Set(holders.map((holder) => holder.migration))], unmet };
}
