import { describe, expect, it } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { isSecret, signedHeaders } from './signature.ts';
import { defaultName, deliveryOf, RETRY_AFTER_MAX_MS } from './webhook.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

describe('a signature', () => {
  it('is the one that the library of Standard Webhooks makes', () => {
    const [id, body, at] = ['a/1/1/3-7', '{"test":"é 🎉"}', new Date('2026-12-01T10:00:00.900Z')];
    expect(signedHeaders({ id, body, atMs: at.getTime() }, [SECRET])).toEqual({
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(SECRET).sign(id, at, body),
    });
  });

  it('is one of each secret, and none without a secret', () => {
    const message = { id: 'a', body: '{}', atMs: 0 };
    const [one, other] = [SECRET, `${SECRET}AAAA`].map(
      (secret) => signedHeaders(message, [secret])['webhook-signature'],
    );
    expect(signedHeaders(message, [SECRET, `${SECRET}AAAA`])['webhook-signature']).toBe(`${one} ${other}`);
    expect(signedHeaders(message, [])).toEqual({ 'webhook-id': 'a', 'webhook-timestamp': '0' });
  });

  it('takes secrets of 24 to 64 bytes in base64 after whsec_', () => {
    const of = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;
    expect([of(24), of(32), of(64)].map(isSecret)).toEqual([true, true, true]);
    expect(
      [of(23), of(65), of(32).slice(6), 'whsec_', 'whsec_not base64, but long enough for it'].map(isSecret),
    ).toEqual(Array.from({ length: 5 }, () => false));
  });
});

describe('an answer', () => {
  const now = Date.parse('2026-12-01T10:00:00Z');
  it.each([
    [200, 'delivered'],
    [202, 'delivered'],
    [204, 'delivered'],
    [301, 'refused'],
    [400, 'refused'],
    [401, 'refused'],
    [404, 'refused'],
    [408, 'later'],
    [410, 'gone'],
    [415, 'refused'],
    [429, 'later'],
    [500, 'later'],
    [503, 'later'],
  ])('of %d means: %s', (status, kind) => {
    expect(deliveryOf(status, null, now).kind).toBe(kind);
  });

  it.each([
    ['7', 7_000],
    ['Tue, 01 Dec 2026 10:02:00 GMT', 120_000],
    ['Tue, 01 Dec 2026 09:00:00 GMT', 0],
    ['999999999', RETRY_AFTER_MAX_MS],
    ['soon', null],
    [null, null],
  ])('with Retry-After %s has us wait %s ms', (header, afterMs) => {
    expect(deliveryOf(503, header, now)).toMatchObject({ afterMs });
  });
});

it('a webhook without a name is called by its host, never by its path', () => {
  expect(defaultName('https://hooks.example.com/services/T0/secret')).toMatch(/^hooks\.example\.com-[0-9a-f]{6}$/);
  expect(defaultName('https://a/1')).not.toBe(defaultName('https://a/2'));
  expect(defaultName('http://[::1]:9/x')).toMatch(/^[\w.-]+$/);
});
