import { bytesInWords } from './relation-words.ts';
import type { Rule } from './rule.ts';

const LOGS = `CREATE TABLE logs (id bigint PRIMARY KEY, line text);
INSERT INTO logs SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i; ANALYZE logs`;
const INDEX = 'CREATE INDEX CONCURRENTLY logs_line ON logs (line)';

const room: Rule = {
  code: 'disk-room',
  severity: 'error',
  title: 'Not enough disk for a rewrite or an index',
  why: 'A rewrite keeps the old table and its indexes until the new ones are complete, and an index is sorted on disk before it is there. A disk that runs full on the way stops every writer of the server, not only this statement; Postgres can even go down, and come up only with more room.',
  safeForm:
    'Make room, or raise [`room`](../configuration.md) of the database where it may grow further. A rewrite can often be had without: a new column, a dual write and a backfill.',
  check({ facts: { roomBytes }, impact: { diskBytes } }) {
    if (roomBytes === null || diskBytes <= roomBytes) return [];
    return [
      {
        message: `it needs about ${bytesInWords(diskBytes)} of disk, and there is room for ${bytesInWords(roomBytes)}`,
      },
    ];
  },
  examples: {
    fires: {
      given: LOGS,
      meanwhile: { words: 'the database may grow by 8 KiB', facts: (facts) => ({ ...facts, roomBytes: 8_192 }) },
      up: INDEX,
    },
    silent: {
      given: LOGS,
      meanwhile: { words: 'the database may grow by 1 GiB', facts: (facts) => ({ ...facts, roomBytes: 1_024 ** 3 }) },
      up: INDEX,
      because: 'there is room for it',
    },
  },
};

export const DISK_RULES: readonly Rule[] = [room];
