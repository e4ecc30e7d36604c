import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { examplePayload, MESSAGE_NAMES, readMessage, readThrottle } from './decision.ts';

const names = MESSAGE_NAMES.filter((name) => name !== 'throttle');

describe('what people send', () => {
  test.each(names)('the example of %s is accepted as it stands', (name) => {
    const reading = readMessage(name, JSON.parse(examplePayload(name)));
    expect(reading).toMatchObject({ ok: true, message: { name, decision: { by: 'you@example.com' } } });
  });

  test('the example of throttle is accepted as it stands', () => {
    expect(readThrottle(JSON.parse(examplePayload('throttle')))).toMatchObject({
      ok: true,
      throttle: { rowsPerSecond: 5000 },
    });
  });

  test.each([
    ['nothing', null, 'the payload is empty'],
    ['a text', 'yes', 'the payload must be a JSON object, not a string'],
    ['a list', [1], 'the payload must be a JSON object, not an array'],
    ['rubbish', { $unreadable: 'Unexpected token', bytes: 3 }, "the payload can't be read (Unexpected token)"],
    ['nobody', { decisionId: 'd' }, '"by" (who decides) is missing'],
    ['blanks', { decisionId: 'd', by: ' ' }, '"by" (who decides) is missing'],
    ['no id', { by: 'ana' }, '"decisionId" is missing'],
    ['a number', { by: 7, decisionId: 'd' }, '"by" must be a string'],
    ['another field', { by: 'ana', decisionId: 'd', vote: 1 }, 'unknown field "vote"'],
    ['too much', { by: 'ana', decisionId: 'd'.repeat(101) }, '"decisionId" is longer than 100 characters'],
  ])('refuses %s, says why and what to send', (_, payload, why) => {
    const reading = readMessage('approve', payload);
    expect(reading).toEqual({ ok: false, reason: `${why}; send ${examplePayload('approve')}` });
  });

  test.each([
    [{ step: 'a', by: 'ana' }, 'nothing to change'],
    [{ step: 'a', by: 'ana', rowsPerSecond: -1 }, '"rowsPerSecond" must be a number above 0'],
    [{ step: 'a', by: 'ana', parallelism: 1.5 }, '"parallelism" must be a whole number from 1 to 16'],
    [{ by: 'ana', full: true }, '"step" is missing'],
    [
      { step: 'a', by: 'ana', full: true, gentle: true },
      '"full" takes back what was said before and goes with nothing else',
    ],
  ])('refuses a throttle that says nothing or too much', (payload, why) => {
    expect(readThrottle(payload)).toEqual({ ok: false, reason: `${why}; send ${examplePayload('throttle')}` });
  });

  test('what others have changed is accepted with a retry, and with nothing else', () => {
    const accept = '0123456789abcdef';
    const given = { step: 'a', by: 'ana', decisionId: 'd' };
    expect(readMessage('retry', { ...given, accept })).toMatchObject({ ok: true, message: { decision: { accept } } });
    expect(readMessage('retry', given)).toMatchObject({ ok: true, message: { decision: { accept: null } } });
    expect(readMessage('skip', { ...given, accept })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('"accept" goes with `retry` only') as string,
    });
  });

  test('never throws, whatever comes', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.anything(), (name, payload) => {
        expect(typeof readMessage(name, payload).ok).toBe('boolean');
        expect(typeof readThrottle(payload).ok).toBe('boolean');
      }),
    );
  });
});
