import { expect, test } from 'vitest';
import { fillMetricWords, metric, metricForm, metricWords } from './metric.ts';

const look = { path: 'new', intervalMs: 60_000 } as const;

test.each([
  ["sum(increase(reads_total{path='$path'}[${interval}s]))", "sum(increase(reads_total{path='new'}[60s]))"],
  [
    "select 1 from calls where path = '${path}' and at > now() - interval '$interval s'",
    "select 1 from calls where path = 'new' and at > now() - interval '60 s'",
  ],
  ['https://a.example.com/$path?seconds=${interval}', 'https://a.example.com/new?seconds=60'],
  // Nothing else is touched: ends of regular expressions, dollar quotes, parameters, longer words.
  ["up{path=~'^/a$|b$'} $paths $1 $$x$$ $path$ ${paths}", "up{path=~'^/a$|b$'} $paths $1 $$x$$ $path$ ${paths}"],
])('%s', (query, filled) => {
  expect(fillMetricWords(query, look)).toBe(filled);
});

test('the words of a query, those that there are not too', () => {
  expect(metricWords("$path $tag$x$tag$ ${where} '/$'").map(({ word, known }) => [word, known])).toEqual([
    ['path', true],
    ['where', false],
  ]);
});

test.each([
  [{ prometheus: 'up', max: 1 }, 'limit'],
  [{ prometheus: { bad: 'a', total: 'b' } }, 'ratio'],
  [{ sql: { database: 'a', query: 'select 1' } }, 'limit'],
  [{ sql: { database: 'a', bad: 'select 1', total: 'select 1' } }, 'ratio'],
  [{ http: { url: 'http://a' } }, 'limit'],
  [{ http: { url: 'http://a', bad: '/a', total: '/b' } }, 'ratio'],
  [{ switch: { count: 'errors' } }, 'ratio'],
  [{ switch: { count: 'errors' }, max: 3 }, 'limit'],
  [{ switch: { count: 'mismatches' }, max: 0 }, 'limit'],
])('%j is a %s', (source, form) => {
  expect(metricForm(metric.parse({ name: 'm', ...source }))).toBe(form);
});
