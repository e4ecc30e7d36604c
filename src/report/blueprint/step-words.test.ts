import { expect, test } from 'vitest';
import { stepKinds } from '../../plan/steps/index.ts';
import type { BlueprintInput } from './blueprint-input.ts';
import { stepSentence, undoSentence } from './step-words.ts';

const users = { database: 'app', schema: 'public', table: 'users' };
const profiles = { ...users, table: 'profiles' };

test('a dual write between two tables and its backfill say which row follows which', () => {
  const fields = { from: { table: 'users', key: 'id' }, to: { table: 'profiles', key: 'user_id' } };
  const sync = { uses: 'dual-write', id: 'sync', database: 'app', ...fields, up: { about: 'bio' } } as const;
  const tables = new Map(['sync', 'fill'].map((id) => [id, [users, profiles]]));
  const input = { tables } as unknown as BlueprintInput;
  const both = stepKinds['dual-write'].parse({ ...sync, down: { bio: 'about' } });
  expect(stepSentence(both, input)).toBe(
    'keeps about of profiles after users, and bio of users after profiles, row by row, by triggers',
  );
  expect(stepSentence(stepKinds['dual-write'].parse(sync), input)).toBe(
    'keeps about of profiles after users, row by row, by triggers',
  );
  expect(undoSentence(both, input)).toBe('triggers and markers are removed; the rows of both tables stay');
  const fill = stepKinds.backfill.parse({ uses: 'backfill', id: 'fill', of: 'sync' });
  expect(stepSentence(fill, input)).toBe('gives every row of users its pair in profiles, in chunks that steer to 20ms');
});
