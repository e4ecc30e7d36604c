import type { StatusError } from '../messages/index.ts';
import { local } from './activities.ts';
import type { Run } from './run.ts';

/** Holds a step or a gate until a person says `retry` or `skip`; `abort` ends it by `Stop`. Costs no events. */
export async function hold(run: Run, id: string, phase: string, error: StatusError): Promise<'retry' | 'skip'> {
  if (run.state.holds[id] === undefined) {
    run.state.holds[id] = { id, phase, error, votes: { retry: [], skip: [] }, resolution: null };
    run.event('held', null, { what: id, code: error.code, message: error.message });
  }
  await run.until(() => run.state.holds[id]?.resolution != null);
  const resolution = run.state.holds[id]?.resolution ?? 'retry';
  delete run.state.holds[id];
  if (resolution === 'retry') await local.forgive({ run: run.ref, step: id });
  run.changed();
  return resolution;
}
