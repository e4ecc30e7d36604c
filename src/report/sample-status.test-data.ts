import type { Status } from '../messages/index.ts';

/** A migration in the middle of its backfill, as the tests of this folder show it. */
export const sampleStatus = (over: Partial<Status> = {}): Status => ({
  name: 'split-full-name',
  version: 1,
  digest: 'd'.repeat(64),
  status: 'running',
  reason: 'accounts-backfill runs',
  waitingFor: null,
  error: null,
  refused: [],
  links: {},
  phases: [
    {
      name: 'expand',
      state: 'done',
      steps: [
        { id: 'accounts-columns', uses: 'ddl', state: 'done', progress: null, note: '2 statements' },
        { id: 'billing-columns', uses: 'ddl', state: 'done', progress: null, note: null },
      ],
    },
    {
      name: 'migrate',
      state: 'running',
      steps: [
        {
          id: 'accounts-backfill',
          uses: 'backfill',
          state: 'running',
          progress: { done: 150_000, total: 300_000, perSecond: 12_000, etaSeconds: 12.4 },
          note: 'throttled: replica lag 3 s',
        },
        { id: 'accounts-verify', uses: 'verify', state: 'pending', progress: null, note: null },
      ],
    },
    {
      name: 'rollout',
      state: 'pending',
      steps: [{ id: 'ramp', uses: 'rollout', state: 'pending', progress: null, note: null }],
    },
  ],
  gates: [],
  source: 'workflow',
  owner: 'team-identity',
  requestedBy: 'ana@example.com',
  services: ['accounts', 'billing'],
  risk: 'moderate',
  epoch: 1,
  startedAt: '2026-03-01T10:00:00.000Z',
  updatedAt: '2026-03-01T10:02:05.000Z',
  ...over,
});

export const openGate = (over: Partial<Status['gates'][number]> = {}): Status['gates'][number] => ({
  gate: 'migrate/after',
  phase: 'migrate',
  state: 'open',
  roles: ['dba'],
  min: 1,
  approvedBy: [],
  decisionId: 'migrate/after-1-1',
  expiresAt: null,
  ...over,
});
