import { expect, test } from 'vitest';
import type { Heartbeat, Status, StepState } from '../messages/index.ts';
import { withHeartbeats } from './heartbeats.ts';

const beat: Heartbeat = {
  step: 'fill',
  progress: { done: 5, total: 10, perSecond: 1, etaSeconds: 5 },
  note: 'half way',
};
const ownFigures = { done: 10, total: 10, perSecond: null, etaSeconds: 0 };
const statusWith = (state: StepState) =>
  ({
    phases: [
      {
        name: 'one',
        state: 'running',
        steps: [{ id: 'fill', uses: 'backfill', state, progress: ownFigures, note: 'own' }],
      },
    ],
  }) as unknown as Status;
const stepOf = (status: Status) => status.phases[0]?.steps[0];

test.each(['running', 'waiting', 'undoing'] as const)('a step that is %s shows its heartbeat', (state) => {
  const step = stepOf(withHeartbeats(statusWith(state), new Map([['fill', beat]])));
  expect(step).toMatchObject({ progress: beat.progress, note: 'half way' });
});

test.each(['done', 'undone', 'held', 'failed', 'skipped', 'pending'] as const)(
  'a step that is %s shows what the run says: the heartbeat is older',
  (state) => {
    const step = stepOf(withHeartbeats(statusWith(state), new Map([['fill', beat]])));
    expect(step).toMatchObject({ progress: ownFigures, note: 'own' });
  },
);

test('what is under way says what is degraded; of what is not, the run knows', () => {
  const since = '2026-11-30T12:00:00.000Z';
  const status = {
    ...statusWith('running'),
    degraded: [
      { what: 'fill', since, words: 'a minute old' },
      { what: 'one/guards', since, words: 'errors: no answer (1 of 3)' },
      { what: 'other', since, words: 'replica 1 is behind' },
    ],
  };
  const beats = new Map<string, Heartbeat>([
    ['fill', { ...beat, degraded: { since, words: 'replica 1 is 3 s behind: at 50 % of full speed' } }],
    ['one/guards', { step: 'one/guards', progress: null, note: 'errors ok' }],
  ]);
  expect(withHeartbeats(status, beats).degraded).toEqual([
    { what: 'other', since, words: 'replica 1 is behind' },
    { what: 'fill', since, words: 'replica 1 is 3 s behind: at 50 % of full speed' },
  ]);
  expect('degraded' in withHeartbeats(statusWith('running'), new Map([['fill', beat]]))).toBe(false);
});
