import { expect, test } from 'vitest';
import { END_STATUSES, RUN_STATUSES, type RunStatus } from '../messages/index.ts';
import { runStatusOf, TRANSITIONS } from './run-status.ts';
import { initialState, type MigrationState } from './state.ts';

test('the statuses and their transitions are as people were told', () => {
  // A change here changes what operators' alarms and scripts see: it needs a line in the CHANGELOG.
  expect(TRANSITIONS).toMatchInlineSnapshot(`
    {
      "awaiting-approval": [
        "running",
        "waiting",
        "paused",
        "held",
        "rolling-back",
        "completed",
      ],
      "completed": [],
      "failed": [],
      "held": [
        "running",
        "waiting",
        "awaiting-approval",
        "paused",
        "rolling-back",
        "completed",
      ],
      "paused": [
        "running",
        "waiting",
        "awaiting-approval",
        "held",
        "rolling-back",
      ],
      "rolled-back": [],
      "rolling-back": [
        "rolled-back",
        "failed",
      ],
      "running": [
        "waiting",
        "awaiting-approval",
        "paused",
        "held",
        "rolling-back",
        "completed",
        "failed",
      ],
      "waiting": [
        "running",
        "awaiting-approval",
        "paused",
        "held",
        "rolling-back",
        "completed",
        "failed",
      ],
    }
  `);
  for (const end of END_STATUSES) expect(TRANSITIONS[end]).toEqual([]);
});

/** A state in which everything is true at once, for which each status is then taken away. */
function everything(): MigrationState {
  const state = initialState('ana@example.com', 0);
  const error = { code: 'X', message: 'x', hint: null, step: 'a' };
  state.direction = 'down';
  state.holds['a'] = { id: 'a', phase: 'one', error, votes: { retry: [], skip: [] }, resolution: null };
  state.paused = 'paused';
  state.gates['one/before'] = {
    gate: 'one/before',
    phase: 'one',
    state: 'open',
    roles: [],
    min: 1,
    notRequester: false,
    opening: 1,
    approvals: [],
    expiresAt: null,
    details: null,
  };
  state.waiting['a'] = 'waits';
  return state;
}

test('of several that are true, the first in order of precedence counts', () => {
  const state = everything();
  const seen: RunStatus[] = [];
  const next = (change: () => void) => {
    seen.push(runStatusOf(state));
    change();
  };
  next(() => (state.direction = 'up'));
  next(() => (state.holds = {}));
  next(() => (state.paused = null));
  // A gate that only overrides a window is nothing to wait for.
  next(() => Object.assign(state.gates['one/before'] ?? {}, { overrides: 'window' }));
  next(() => (state.waiting = {}));
  next(() => undefined);
  expect(seen).toEqual(RUN_STATUSES.slice(0, 6));
});
