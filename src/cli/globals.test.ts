import { expect, it } from 'vitest';
import { placeWords } from './globals.ts';

it('carries where to look, and not who asks, into the command to type next', () => {
  expect(placeWords({})).toEqual([]);
  expect(placeWords({ as: 'ana@example.com', json: true, color: false, address: '127.0.0.1:7300' })).toEqual([
    '--address',
    '127.0.0.1:7300',
  ]);
  expect(placeWords({ config: "ana's set-up.yaml", taskQueue: 'shop' })).toEqual([
    '--config',
    "'ana'\\''s set-up.yaml'",
    '--task-queue',
    'shop',
  ]);
});
