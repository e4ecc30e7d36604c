import type { Logger } from 'pino';
import { ddl } from '../../activities/ddl.ts';
import type { Deps } from '../../activities/deps.ts';
import { dualWrite } from '../../activities/dual-write.ts';
import type { Effect, EffectContext } from '../../activities/effect.ts';
import { retire } from '../../activities/retire.ts';
import { Databases } from '../../adapters/postgres/database.ts';
import type { ObservedDatabase, ObservedTransaction } from '../../adapters/postgres/observed-database.ts';
import type { Direction, RunRef } from '../../messages/index.ts';
import { SwitchbackError } from '../../messages/index.ts';
import type { Kind, Plan, Risk, Step } from '../../plan/index.ts';

/** Kinds that change the schema and can be taken back. */
const REHEARSED = { ddl, 'dual-write': dualWrite, retire } satisfies { [K in Kind]?: Effect<K> };
type RehearsedKind = keyof typeof REHEARSED;
export type RehearsedStep = Extract<Step, { uses: RehearsedKind }>;
const isRehearsed = (step: Step): step is RehearsedStep => Object.hasOwn(REHEARSED, step.uses);

/** What one step did in one direction on the copy. */
export interface RehearsedEffect {
  database: string;
  phase: string;
  step: string;
  uses: string;
  direction: Direction;
  note: string | null;
  error: { code: string; message: string; hint: string | null } | null;
  transactions: ObservedTransaction[];
}

export interface PlacedStep {
  phase: string;
  risk: Risk;
  step: RehearsedStep;
}
/**
 * The steps that a rehearsal runs, in the order in which a run would: phases in order, `needs` before their needers. Those
 * that come `afterDrop` in their database are not among them: they count on what isn't dropped here.
 */
export function rehearsedSteps(plan: Plan): { steps: PlacedStep[]; afterDrop: string[] } {
  const steps: PlacedStep[] = [];
  const afterDrop: string[] = [];
  const dropped = new Set<string>();
  for (const phase of plan.spec.phases) {
    for (const step of byNeeds(phase.steps)) {
      if (step.uses === 'drop') dropped.add(step.database);
      if (!isRehearsed(step)) continue;
      if (dropped.has(step.database)) afterDrop.push(step.id);
      else steps.push({ phase: phase.name, risk: phase.risk ?? plan.spec.risk, step });
    }
  }
  return { steps, afterDrop };
}

function byNeeds(steps: readonly Step[]): Step[] {
  const ordered: Step[] = [];
  const open = new Set(steps);
  while (open.size > 0) {
    // A checked plan has no circles: there always is one whose needs are met.
    const next = [...open].find((step) => step.needs.every((id) => ordered.some((done) => done.id === id)));
    if (next === undefined) throw new Error('the steps need each other in a circle');
    open.delete(next);
    ordered.push(next);
  }
  return ordered;
}

/** Runs steps' real effects on copies of the databases, without Temporal. */
export class Rehearsal {
  readonly #databases: ReadonlyMap<string, ObservedDatabase>;
  readonly #run: RunRef;
  readonly #log: Logger;
  readonly #onNote: (note: string) => void;

  constructor(options: {
    databases: ReadonlyMap<string, ObservedDatabase>;
    run: RunRef;
    log: Logger;
    onNote: (note: string) => void;
  }) {
    this.#databases = options.databases;
    this.#run = options.run;
    this.#log = options.log;
    this.#onNote = options.onNote;
  }

  async perform({ phase, risk, step }: PlacedStep, direction: Direction): Promise<RehearsedEffect> {
    const database = this.#databases.get(step.database);
    database?.taken();
    const effect = REHEARSED[step.uses] as unknown as Effect<RehearsedKind>;
    const base = { database: step.database, phase, step: step.id, uses: step.uses, direction };
    const taken = (): ObservedTransaction[] => database?.taken() ?? [];
    try {
      const { note } = await effect[direction](
        {
          run: this.#run,
          direction,
          phase,
          risk,
          requestedBy: 'dry run',
          step,
          of: null,
          flag: null,
          throttle: null,
        },
        this.#context(),
      );
      return { ...base, note, error: null, transactions: taken() };
    } catch (thrown) {
      if (!(thrown instanceof SwitchbackError)) throw thrown;
      const { code, message, hint } = thrown;
      return { ...base, note: null, error: { code, message, hint }, transactions: taken() };
    }
  }

  #context(): EffectContext {
    const databases = new CopiedDatabases(this.#databases);
    return {
      // Effects on a schema use no other part; one that does fails at once.
      deps: { databases, log: this.#log } satisfies Partial<Deps> as unknown as Deps,
      log: this.#log,
      signal: new AbortController().signal,
      report: ({ note }) => {
        if (note !== null) this.#onNote(note);
      },
    };
  }
}

/** The copies under the names of their originals. */
class CopiedDatabases extends Databases {
  readonly #copies: ReadonlyMap<string, ObservedDatabase>;
  constructor(copies: ReadonlyMap<string, ObservedDatabase>) {
    super({});
    this.#copies = copies;
  }
  override get names(): string[] {
    return [...this.#copies.keys()];
  }
  override get(name: string): ObservedDatabase {
    const copy = this.#copies.get(name);
    if (copy === undefined) throw new Error(`database ${name} was not copied`);
    return copy;
  }
}
