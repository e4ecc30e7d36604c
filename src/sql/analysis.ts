import type { Impact } from './impact.ts';
import type { Severity } from './rules/rule.ts';

/** What `check` tells of one statement of a `ddl` step. */
export interface StatementAnalysis {
  /** From 1, in the step's `up`. */
  number: number;
  /** As the plan has it. */
  text: string;
  /** Where it starts in `up`, in UTF-16 units. */
  offset: number;
  /** What will really run: the safe form where the engine has one, else the statement itself. */
  runs: readonly { text: string; concurrently: boolean; impact: Impact }[];
  /** Why it runs in another form than written; null where it runs as written. */
  safeForm: string | null;
  /** How a rollback takes it back, in words; null where the step needs a `down` for it and has none. */
  rollback: string | null;
  findings: readonly RuleFinding[];
}
export interface RuleFinding {
  rule: string;
  severity: Severity;
  message: string;
  why: string;
  /** What to write instead, or what the engine does instead. */
  safeForm: string;
  /** The engine avoids it by the safe form: it is told as a note, whatever the rule's own severity. */
  avoided: boolean;
  /** The plan allows it, for this reason. */
  allowed: string | null;
}
/** What keeps a plan from running: an error that is neither avoided nor allowed. */
export const refuses = ({ severity, avoided, allowed }: RuleFinding): boolean =>
  severity === 'error' && !avoided && allowed === null;
