import { describe, expect, test } from 'vitest';
import { MESSAGE_NAMES, readMessage, type Status } from '../messages/index.ts';
import { detailsOf } from './details.ts';
import { type Gate, initialState, type MigrationState } from './state.ts';

const state = (over: Partial<MigrationState> = {}): MigrationState => ({
  ...initialState('dev@example.com', 0),
  ...over,
});
const status = (over: Partial<Status> = {}): Status => ({
  name: 'm',
  version: 1,
  digest: 'd',
  status: 'running',
  reason: 'backfill runs',
  waitingFor: null,
  error: null,
  refused: [],
  links: {},
  phases: [],
  gates: [],
  source: 'workflow',
  owner: 'o',
  requestedBy: 'dev@example.com',
  services: [],
  risk: 'low',
  epoch: 1,
  startedAt: '2026-03-01T10:00:00.000Z',
  updatedAt: '2026-03-01T10:00:00.000Z',
  ...over,
});
const gate = (over: Partial<Gate> = {}): Gate => ({
  gate: 'migrate/after',
  phase: 'migrate',
  state: 'open',
  roles: ['dba', 'lead'],
  min: 2,
  notRequester: true,
  opening: 1,
  approvals: [{ by: 'ana_b@example.com', decisionId: 'd-1' }],
  expiresAt: Date.parse('2026-03-02T08:00:00.000Z'),
  details: 'Compare *ten* samples.',
  ...over,
});
const phase = (
  name: string,
  phaseState: Status['phases'][number]['state'],
  steps: number,
): Status['phases'][number] => ({
  name,
  state: phaseState,
  steps: Array.from({ length: steps }, (_, index) => ({
    id: `${name}-${index}`,
    uses: 'check',
    state: 'pending',
    progress: null,
    note: 'n'.repeat(500),
  })),
});
/** Payloads in code blocks, by the name of the signal that the line before each names first. */
const payloadsIn = (details: string): [string, unknown][] =>
  [...details.matchAll(/signal `(\w+)`[^\n]*\n\n```json\n([^`]+)\n```/g)].map(([, name = '', json = '']) => [
    name,
    JSON.parse(json),
  ]);

describe('the signal to send next', () => {
  test('an open gate says who may approve, who has, until when, and the payload of the next approval', () => {
    const details = detailsOf(status({ status: 'awaiting-approval' }), state({ gates: { g: gate() } }));
    expect(details).toContain('### Approval needed: migrate/after\n\nCompare *ten* samples.');
    expect(details).toContain(
      String.raw`1 of 2 given (ana\_b@example.com). The role ` +
        '`dba` or `lead` may approve, but not dev@example.com, who started it. It expires at 2026-03-02 08:00:00 UTC.',
    );
    expect(payloadsIn(details)[0]).toMatchObject([
      'approve',
      { gate: 'migrate/after', decisionId: 'migrate/after-1-2' },
    ]);
  });

  test('a step that waits for its window has the payload of its override, and the run is not asking for approval', () => {
    const override = gate({ gate: 'fill/window', overrides: 'window', approvals: [], expiresAt: null, details: null });
    const details = detailsOf(status({ status: 'waiting' }), state({ gates: { o: override } }));
    expect(details).toContain('### Waits for its window: fill\n\nIt goes by itself when the window opens.');
    expect(payloadsIn(details)[0]).toMatchObject(['approve', { gate: 'fill/window', decisionId: 'fill/window-1-1' }]);
    expect(details).not.toContain('Approval needed');
  });

  test.each([
    ['running', {}, ['abort']],
    ['paused', { paused: 'paused by ana' }, ['resume', 'abort']],
    ['awaiting-approval', { gates: { g: gate() } }, ['approve', 'abort']],
    [
      'held',
      {
        holds: {
          s: {
            id: 's',
            phase: 'p',
            error: { code: 'C', message: 'm', hint: null, step: 's' },
            votes: { retry: [], skip: [] },
            resolution: null,
          },
        },
      },
      ['retry', 'abort'],
    ],
    [
      'held',
      {
        holds: {
          s: {
            id: 's',
            phase: 'p',
            error: { code: 'SchemaDrift', message: 'm', hint: null, step: 's' },
            drift: '0123456789abcdef',
            votes: { retry: [], skip: [] },
            resolution: null,
          },
        },
      },
      ['retry', 'retry', 'abort'],
    ],
    ['rolling-back', {}, []],
    ['completed', {}, []],
  ] as const)('%s', (name, over, expected) => {
    const payloads = payloadsIn(detailsOf(status({ status: name }), state(over as Partial<MigrationState>)));
    expect(payloads.map(([signal]) => signal)).toEqual(expected);
    for (const [signal, payload] of payloads) {
      const known = MESSAGE_NAMES.find((one) => one === signal);
      if (known === undefined || known === 'throttle') throw new Error(`not a decision: ${signal}`);
      expect(readMessage(known, payload)).toMatchObject({ ok: true });
    }
  });
});

test('changes by others can be accepted by the payload that is shown, and only by that one', () => {
  const hold = {
    id: 's',
    phase: 'p',
    error: { code: 'SchemaDrift', message: 'm', hint: null, step: 's' },
    drift: '0123456789abcdef',
    votes: { retry: [], skip: [] },
    resolution: null,
  };
  const payloads = payloadsIn(detailsOf(status({ status: 'held' }), state({ holds: { s: hold } })));
  const [plain = {}, accepting = {}] = payloads.map(([, payload]) => payload as Record<string, unknown>);
  expect(plain).not.toHaveProperty('accept');
  expect(accepting).toMatchObject({ step: 's', accept: '0123456789abcdef' });
  // Both can be sent: they are two decisions.
  expect(accepting['decisionId']).not.toBe(plain['decisionId']);
});

test('text of people and servers is never taken as markup', () => {
  const evil = '<b>|*_`[x](y)#\n## --yes $1$ \\';
  const details = detailsOf(
    status({
      reason: evil,
      error: { code: 'StepFailed', message: evil, hint: evil, step: null },
      phases: [
        {
          ...phase('p', 'running', 1),
          steps: [{ id: 's', uses: 'check', state: 'running', progress: null, note: evil }],
        },
      ],
      refused: [{ message: evil, reason: evil, at: '2026-03-01T10:00:00.000Z' }],
    }),
    state(),
  );
  const escaped = String.raw`\<b\>\|\*\_` + String.raw`\`\[x\](y)\# \#\# \-\-yes \$1\$ \\`;
  expect(details).toContain(`\n\n${escaped}\n\n`);
  expect(details).toContain(`**StepFailed**: ${escaped}`);
  expect(details).toContain(`| p | s | check | running | ${escaped} |`);
  expect(details).toContain(`- 2026-03-01 10:00:00 UTC, \`<b>|*_'[x](y)# ## --yes $1$ \\\`: ${escaped}`);
});

test('what was refused is told without the general example, the last five of it', () => {
  const refused = Array.from({ length: 7 }, (_, index) => ({
    message: `approve ${index}`,
    reason: 'the payload is empty; send {"gate":"migrate/after"}',
    at: '2026-03-01T10:00:00.000Z',
  }));
  const lines = detailsOf(status({ refused }), state())
    .split('\n')
    .filter((line) => line.startsWith('- '));
  expect(lines[0]).toBe('- 2026-03-01 10:00:00 UTC, `approve 2`: the payload is empty');
  expect(lines.length).toBe(6);
  expect(lines.at(-1)).toBe('- and 2 earlier: the query `status` has them');
});

test('progress is shown while a step of more than one unit runs', () => {
  const progress = { done: 150_000, total: 300_000, perSecond: 12_000, etaSeconds: 12 };
  const shown = (over: object) =>
    detailsOf(
      status({
        phases: [
          {
            name: 'p',
            state: 'running',
            steps: [{ id: 's', uses: 'backfill', state: 'running', progress, note: 'gentle', ...over }],
          },
        ],
      }),
      state(),
    );
  expect(shown({})).toContain('| 50 % (150000 of 300000), gentle |');
  expect(shown({ state: 'done' })).toContain('| done | gentle |');
  expect(shown({ progress: { ...progress, done: 0, total: 1 } })).toContain('| running | gentle |');
});

test('a long plan stays short enough for the address of a frame: quiet phases are one row each', () => {
  const phases = [phase('a', 'done', 30), phase('b', 'running', 5), phase('c', 'pending', 30)];
  const details = detailsOf(status({ phases }), state());
  expect(details).toContain('| a | 30 steps |  | done |  |');
  expect(details).toContain('|  | b-4 | check | pending | ');
  expect(details).toContain('| c | 30 steps |  | pending |  |');

  const huge = detailsOf(
    status({ status: 'awaiting-approval', phases: [phase('a', 'running', 300)] }),
    state({ gates: { g: gate({ details: 'x'.repeat(10_000) }) } }),
  );
  expect(huge).toContain('| and 270 more |');
  expect(encodeURIComponent(huge).length).toBeLessThan(10_000);
});
