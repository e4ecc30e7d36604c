import { describe, expect, it } from 'vitest';
import type { WebhookConfig } from '../adapters/notify/webhook.ts';
import { NOTIFICATION_EVENTS, type Status } from '../messages/index.ts';
import type { NoticeContext, NoticeData } from './notice-data.ts';
import { Notices } from './notices.ts';

const run = { migration: 'split', version: 1, digest: 'd', epoch: 2, generation: 5 };
const hook = (name: string, more: Partial<WebhookConfig> = {}): WebhookConfig => ({
  ...{ name, webhook: 'https://x/secret', events: NOTIFICATION_EVENTS, secrets: [], services: null },
  ...more,
});
const context: NoticeContext = {
  ...{ owner: 'o', requestedBy: 'bo', risk: 'low' },
  services: ['a', 'b'],
  status: null,
};
const notices = (webhooks: WebhookConfig[], ui: string | null = null) =>
  new Notices({ webhooks, deprecationNotice: ['7d', '1d'], namespace: 'prod', ui, wake: () => undefined });
const event = (type: string, data: Record<string, unknown> = {}) => ({ key: '5.7', type, by: null, data });
const dataOf = (of: ReturnType<Notices['of']>) => of.map(({ payload }) => payload.data as NoticeData);

describe('notices', () => {
  it('are of the events that a webhook wants, under the names that people configure', () => {
    const all = notices([hook('all'), hook('some', { events: ['approval-needed'] })]);
    const told = all.of(
      run,
      [event('gate-opened', { gate: 'p/after' }), event('step-done'), event('turning')],
      context,
    );
    expect(told.map((one) => [one.webhook, one.event])).toEqual([
      ['all', 'approval-needed'],
      ['some', 'approval-needed'],
      ['all', 'rolling-back'],
    ]);
    expect(told[0]).toMatchObject({
      key: '5.7',
      namespace: 'prod',
      payload: {
        id: 'split/1/2/5-7',
        source: '/switchback/prod/migration/split',
        type: 'dev.switchback.migration.approval-needed.v1',
        subject: 'p/after',
      },
    });
  });

  it('of a deprecation go to who is concerned only, those of a run to all who take part', () => {
    const of = notices([
      hook('a', { services: ['a'] }),
      hook('b', { services: ['b', 'c'] }),
      hook('d', { services: ['d'] }),
    ]);
    const consumers = [{ service: 'b', range: '1', mustUpgrade: true }];
    const told = of.of(run, [event('deprecated', { providers: [], consumers })], context);
    expect(told.map(({ webhook }) => webhook)).toEqual(['b']);
    expect(of.of(run, [event('held')], context).map(({ webhook }) => webhook)).toEqual(['a', 'b']);
  });

  it('are bounded, whatever the audit has on record', () => {
    const long = { message: 'x'.repeat(9_000), list: Array.from({ length: 500 }, () => 'y') };
    const [data] = dataOf(notices([hook('a')]).of(run, [event('held', long)], context));
    expect(Object.values(data?.detail ?? {}).map((value) => (value as string | string[]).length)).toEqual([2_000, 100]);
    const wide = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`k${index}`, 'x'.repeat(1_999)]));
    const [cut] = dataOf(notices([hook('a')]).of(run, [event('held', wide)], context));
    expect(cut?.detail).toEqual({ leftOut: 'it is too long; `switchback audit` has it' });
  });

  it('say what can be done, and never what is refused', () => {
    const done = (uses: string) => ({ id: 's', uses, state: 'done', progress: null, note: null }) as const;
    const statusWith = (status: Status['status'], uses: string) =>
      ({
        status,
        reason: '',
        error: null,
        gates: [],
        phases: [{ name: 'p', state: 'running', steps: [done(uses)] }],
      }) as unknown as Status;
    const next = (status: Status) =>
      dataOf(notices([hook('a')]).of(run, [event('held', { what: 's' })], { ...context, status }))[0]?.next.map(
        ({ signal }) => signal?.name,
      );
    expect(next(statusWith('held', 'ddl'))).toEqual(['retry', 'skip', 'abort']);
    expect(next(statusWith('held', 'drop'))).toEqual(['retry', 'skip']);
    expect(next(statusWith('rolling-back', 'ddl'))).toEqual(['retry', 'skip']);
  });

  it('say what went wrong where something did', () => {
    const error = { code: 'GuardTripped', message: 'm', hint: null, step: null };
    const status = { status: 'rolling-back', reason: 'r', error, gates: [], phases: [] } as unknown as Status;
    const of = (type: string) =>
      dataOf(notices([hook('a')]).of(run, [event(type, { what: 'spec.guards' })], { ...context, status }));
    expect(['exposure-lowered', 'turning', 'held'].flatMap(of).map((data) => [data.event, data.error?.code])).toEqual([
      ['exposure-lowered', 'GuardTripped'],
      ['rolling-back', 'GuardTripped'],
      ['held', 'GuardTripped'],
    ]);
    expect(of('window-closed')[0]?.error).toBeNull();
  });

  it('link to Temporal’s UI where it is known', () => {
    const linkWith = (ui: string | null) => dataOf(notices([hook('a')], ui).of(run, [event('held')], context))[0]?.link;
    expect(linkWith('http://ui:8233/')).toBe('http://ui:8233/namespaces/prod/workflows/migration%2Fsplit');
    expect(linkWith(null)).toBeNull();
  });
});
