import type { SchemaFacts } from '../facts.ts';
import type { Impact } from '../impact.ts';
import type { Statement } from '../parser.ts';

/** `error`: refused unless the step's `allow` names the rule with a reason. `warning`, `note`: told, never refused. */
export type Severity = 'error' | 'warning' | 'note';

/** What a rule looks at: one statement as it is written, and the catalog as it will be when it runs. */
export interface RuleContext {
  statement: Statement;
  /** The schema that unqualified names mean. */
  schema: string;
  /** The live catalog with what earlier statements of the plan make of it. */
  facts: SchemaFacts;
  /** Locks, rewrites and scans of the statement as written. */
  impact: Impact;
  /** Whether the step has its own `down`. */
  hasDown: boolean;
}
/** What a rule has found. */
export interface Hit {
  /** One sentence with the names and figures of this case: what would happen, to whom. */
  message: string;
  /** Another severity than the rule's own, where the catalog shows that it is less (or more) of a danger here. */
  severity?: Severity;
  /** The safe form with the names of this case, as SQL or one sentence; the rule's own where left out. */
  safeForm?: string;
}
/** One thing that can go wrong, what the field knows of it, and when the catalog shows that it can't. */
export interface Rule {
  /** Stable, kebab-case: plans name it in `allow`, docs/rules has a page of that name. */
  code: string;
  severity: Severity;
  /** The rule in a few words, as a heading: `Index built without CONCURRENTLY`. */
  title: string;
  /** What happens and to whom, in two to five sentences. Markdown. */
  why: string;
  /** What to write instead, or what the engine does instead. Markdown. */
  safeForm: string;
  check(context: RuleContext): readonly Hit[];
  /** Shown on the rule's page and run by the tests on a real Postgres. */
  examples: { fires: RuleExample; silent: RuleExample & { because: string } };
}
export interface RuleExample {
  /** SQL that makes the schema before; unqualified names are in a schema of the test's own. */
  given: string;
  /** What no SQL makes in a moment (an old transaction, an older Postgres): in words, and as it shows in the facts. */
  meanwhile?: { words: string; facts: (facts: SchemaFacts) => SchemaFacts };
  /** The `up` of a ddl step. */
  up: string;
  /** The step's own `down`, where the example is about one. */
  down?: string;
}

/** From this many rows on, a lock that waits for a scan, a rewrite or a build holds up others noticeably. */
export const LARGE_TABLE_ROWS = 10_000;
