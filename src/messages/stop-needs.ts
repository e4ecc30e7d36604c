/** What the gate of one stop of a rollout needs to see, as `check` prints it; `--json` has them as `bakes`. */
export interface StopNeeds {
  phase: string;
  step: string;
  /** Its number in the ramp, from 1. */
  stop: number;
  /** `5 %`, or `stage shadow`. */
  at: string;
  /** As the plan has it: `15m`. */
  bake: string;
  /** The part of all requests that are on the new path; null where one path has them all, or nobody is on the new one. */
  share: number | null;
  /** Bad requests on both paths by which a doubled rate of them has shown in 95 of 100 rollouts; null: it never does. */
  seeBad: number | null;
  /** For each `margin`, bad requests on both paths by which a path that is as good as the old one passes. */
  pass: { margin: number; bad: number | null }[];
  /** All of that in sentences. */
  words: string[];
}
