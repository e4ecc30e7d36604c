import { parse } from 'yaml';

/** What a run of a shipped plan has of its own: names, so that several run side by side. */
export interface Fit {
  name: string;
  /** Of the plan's databases and flags: their names here. */
  database(name: string): string;
  flag(name: string): string;
  /** Keeps retentions and soaks as shipped: for runs that are taken back while they wait for them. */
  keepRetention?: boolean;
}

/**
 * Time, which is all that a test may change of a plan. Bakes are long enough for both kinds of clients to meet, and a
 * flag's propagation for clients that ask twice a second on a machine that is busy.
 */
const SHORT: Readonly<Record<string, string>> = { bake: '3s', propagation: '5s', every: '500ms' };
const RETENTION: Readonly<Record<string, string>> = { retention: '1s', for: '1s', soak: '1s', during: '1s' };
/** A sunset that has passed. */
const PAST: Readonly<Record<string, string>> = { at: '2026-01-01', sunset: '2026-02-01' };

/**
 * The plan of examples/<playbook>/plan.yaml as it is shipped, but for its name, the names of its databases and flags,
 * and its times. Anchors are resolved; nothing else is changed, left out or added.
 */
export function fitted(text: string, fit: Fit): string {
  const plan = parse(text, { merge: true }) as {
    metadata: { name: string };
    spec: { flags?: Record<string, unknown> };
  };
  plan.metadata.name = fit.name;
  const { flags } = plan.spec;
  if (flags !== undefined)
    plan.spec.flags = Object.fromEntries(Object.entries(flags).map(([name, flag]) => [fit.flag(name), flag]));
  const times = fit.keepRetention === true ? SHORT : { ...SHORT, ...RETENTION, ...PAST };
  return JSON.stringify(plan, (key, value: unknown) => {
    if (typeof value !== 'string') return value;
    if (key === 'database') return fit.database(value);
    if (key === 'flag') return fit.flag(value);
    return times[key] ?? value;
  });
}
