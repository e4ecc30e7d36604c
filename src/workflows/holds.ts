import type { StatusError } from '../messages/index.ts';
import { local } from './activities.ts';
import type { Run } from './run.ts';

/**
 * Puts a step or a gate on hold: from here on it waits for a person, over a continue-as-new too. With `stops` all else
 * waits with it; `drift` is the digest of the changes by others that a person may accept.
 */
export function placeHold(
  run: Run,
  id: string,
  phase: string,
  error: StatusError,
  options: { stops?: boolean; drift?: string } = {},
): void {
  run.state.holds[id] = { id, phase, error, votes: { retry: [], skip: [] }, resolution: null, ...options };
  run.event('held', null, { what: id, code: error.code, message: error.message });
}

export const isHeld = (run: Run, id: string): boolean => run.state.holds[id] !== undefined;

/** Waits until a person says `retry` or `skip` of what is held; `abort` ends it by `Stop`. Costs no events. */
export async function resolution(run: Run, id: string): Promise<'retry' | 'skip'> {
  await run.until(() => run.state.holds[id]?.resolution != null);
  const said = run.state.holds[id]?.resolution ?? 'retry';
  // The count is forgiven before the hold goes: a continue-as-new in between finds the hold, resolved.
  if (said === 'retry') await local.forgive({ run: run.ref, step: id });
  delete run.state.holds[id];
  run.changed();
  return said;
}
