import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, conditionOf, conditionsOf, serve } from './room.ts';

const signal = new AbortController().signal;

describe('conditions over http', () => {
  const body = { errors: 3, users: [{ 'a/b': 7 }], name: 'ana@example.com' };
  test.each([
    [{}, true, 'answers 200'],
    [{ status: 204 }, false, 'answers 200, not 204'],
    [{ path: '/errors', max: 3 }, true, 'the value at /errors is 3 ≤ 3'],
    [{ path: '/users/0/a~1b', equals: 7 }, true, '7 = 7'],
    [{ path: '/nothing', max: 3 }, false, 'there is nothing at /nothing'],
    [{ path: '/users', max: 3 }, false, "isn't a single value"],
    [{ path: '/name', max: 3 }, false, 'a text not ≤ 3'],
    [{ schema: { type: 'object', required: ['errors'] } }, true, 'matches the schema'],
    [{ schema: { properties: { errors: { maximum: 2 } } } }, false, '/errors must be <= 2'],
    [{ schema: { properties: { name: { const: 'x' } } } }, false, '/name must be equal to constant'],
  ])('%o', async (of, holds, reason) => {
    const { url } = await serve(() => ({ body }));
    const reading = await conditionsOf().read(
      conditionOf({ http: { url: `${url}/health?key=secret`, ...of } }),
      signal,
    );
    expect(reading).toMatchObject({ holds, reason: expect.stringContaining(reason) });
    expect(JSON.stringify(reading)).not.toMatch(/secret|@/);
  });

  test('a source that is away is an error, not a reading', async () => {
    const conditions = conditionsOf();
    const read = (url: string) => conditions.read(conditionOf({ http: { url } }), signal);
    await expect(read(`http://127.0.0.1:${await closedPort()}/`)).rejects.toMatchObject({
      code: 'MetricsUnreachable',
      retry: true,
    });
    const { url } = await serve(() => 'hang up');
    await expect(read(url)).rejects.toMatchObject({ code: 'MetricsUnreachable', retry: true });
  });

  test('credentials of the address become a header; what is too long or too slow is an error', async () => {
    const conditions = conditionsOf();
    const seen: (string | undefined)[] = [];
    const { url } = await serve((request) => {
      seen.push(request.headers.authorization);
      return { body: request.url === '/long' ? 'x'.repeat(2 ** 20 + 1) : {} };
    });
    const read = (path: string, of: AbortSignal = signal) =>
      conditions.read(conditionOf({ http: { url: `${url.replace('//', '//ana:p%40ss@')}${path}` } }), of);
    const { reason } = await read('/');
    expect(seen).toEqual([`Basic ${Buffer.from('ana:p@ss').toString('base64')}`]);
    expect(reason).not.toContain('ana');
    await expect(read('/long')).rejects.toMatchObject({
      code: 'MetricsUnreachable',
      message: expect.stringMatching(/^(?!.*ana).*longer than 1048576 bytes/),
    });
    const silent = createServer(() => undefined);
    silent.listen(0, '127.0.0.1');
    onTestFinished(() => {
      silent.closeAllConnections();
      silent.close();
    });
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const stop = new AbortController();
    const slow = conditionOf({ http: { url: `http://127.0.0.1:${port}/` } });
    const waiting = conditions.read(slow, stop.signal);
    await once(silent, 'request');
    stop.abort(new Error('interrupted'));
    await expect(waiting).rejects.toThrow('interrupted');
  });

  test('a schema that is wrong is an error of the plan', async () => {
    const condition = conditionOf({ http: { url: 'http://127.0.0.1/', schema: { type: 'thing' } } });
    await expect(conditionsOf().read(condition, signal)).rejects.toMatchObject({ code: 'PlanInvalid' });
  });
});

/** Answers as in Prometheus's documentation of its HTTP API. */
describe('conditions on Prometheus', () => {
  const vector = (...values: string[]) => ({
    status: 'success',
    data: {
      resultType: 'vector',
      result: values.map((value) => ({ metric: { job: 'a' }, value: [1435781451.781, value] })),
    },
  });
  test.each([
    [vector('0'), { max: 0 }, true, '0 ≤ 0'],
    [vector('0.25'), { max: 0.1 }, false, '0.25 not ≤ 0.1'],
    [vector('1e+06'), { min: 1000 }, true, '1e+06 ≥ 1000'],
    [vector('1'), {}, true, 'asks no more'],
    [vector(), { max: 0 }, false, 'no series'],
    [vector('0', '0'), { max: 0 }, false, '2 series'],
    [vector('NaN'), { max: 0 }, false, 'NaN'],
    [vector('+Inf'), { max: 5 }, false, '+Inf not ≤ 5'],
    [
      { status: 'success', data: { resultType: 'scalar', result: [1435781451.781, '1'] } },
      { equals: 1 },
      true,
      '1 = 1',
    ],
    [{ status: 'success', data: { resultType: 'matrix', result: [] } }, { max: 0 }, false, 'range'],
    [{ ...vector('0'), warnings: ['a store is away'] }, { max: 0 }, false, 'a store is away'],
    [{ ...vector('0'), infos: ['metric might not be a counter'] }, { max: 0 }, true, '0 ≤ 0'],
    [vector('0'), { max: 0 }, true, "s behind this worker's"],
  ])('%j with %o', async (answer, bounds, holds, reason) => {
    const { url, requests } = await serve(() => ({ body: answer }));
    const conditions = conditionsOf({ prometheusUrl: `${url}/prefix/` });
    const reading = await conditions.read(conditionOf({ prometheus: { query: 'sum(up{a="b"})', ...bounds } }), signal);
    expect(reading).toMatchObject({ holds, reason: expect.stringContaining(reason) });
    expect(requests).toEqual(['GET /prefix/api/v1/query?query=sum%28up%7Ba%3D%22b%22%7D%29&timeout=9s']);
  });

  test.each([
    [400, { status: 'error', errorType: 'bad_data', error: 'parse error' }, false, 'bad_data: parse error'],
    [422, { status: 'error', errorType: 'execution', error: 'too many samples' }, true, 'too many samples'],
    [503, { status: 'error', errorType: 'timeout', error: 'too slow' }, true, 'too slow'],
    [502, '<html>', true, 'not an answer of Prometheus'],
    [200, 'hello', true, 'not an answer of Prometheus'],
    [302, '', true, 'sends us elsewhere'],
    [401, 'Unauthorized', false, 'refuses the credentials (401)'],
    [200, { status: 'success', data: { resultType: 'vector', result: 'x' } }, true, 'not an answer of Prometheus'],
  ])('%i %j is no reading', async (status, body, retry, message) => {
    const { url } = await serve(() => ({ status, body }));
    const conditions = conditionsOf({ prometheusUrl: url });
    await expect(conditions.read(conditionOf({ prometheus: { query: 'up' } }), signal)).rejects.toMatchObject({
      code: 'MetricsUnreachable',
      retry,
      message: expect.stringContaining(message),
    });
  });

  test('without an address it is an error of the configuration', async () => {
    await expect(conditionsOf().read(conditionOf({ prometheus: { query: 'up' } }), signal)).rejects.toMatchObject({
      code: 'ConfigInvalid',
    });
  });
});
