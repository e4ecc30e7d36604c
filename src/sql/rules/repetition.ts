import { textIn } from '../tree.ts';
import { addedConstraints } from './altered-table.ts';
import { EMPTY_USERS } from './example-tables.ts';
import { shown, subject } from './relation-words.ts';
import type { Rule } from './rule.ts';

const WORDS = {
  primary: 'PRIMARY KEY',
  unique: 'UNIQUE',
  check: 'CHECK',
  foreign: 'FOREIGN KEY',
  exclusion: 'EXCLUDE',
};

const notIdempotent: Rule = {
  code: 'not-idempotent',
  severity: 'note',
  title: 'What is there twice when it is run twice',
  why: 'The engine runs each statement once, over crashes and retries too. But whoever runs the SQL again by hand, in another database or after a restore, gets a second index or constraint under another name, without an error, and each write keeps both. Without a name an object is also hard to find again: what it is called differs from one database to another.',
  safeForm: 'Give it a name: the second time it fails, and says why.',
  check(context) {
    const { statement, schema } = context;
    const table = subject(context);
    if (table === undefined) return [];
    if (statement.kind === 'IndexStmt' && textIn(statement.node['idxname']) === '') {
      return table.fresh ? [] : [{ message: `run again, it makes a second index on ${shown(table, schema)}` }];
    }
    return addedConstraints(context).flatMap(({ clause }) => {
      // A second primary key, and a second NOT NULL, Postgres refuses by itself.
      if (clause.name !== null || clause.kind === 'primary' || clause.kind === 'not null' || table.fresh) return [];
      return [{ message: `run again, it gives ${shown(table, schema)} a second ${WORDS[clause.kind]} of the same` }];
    });
  },
  examples: {
    fires: { given: EMPTY_USERS, up: 'ALTER TABLE users ADD CHECK (age >= 0)' },
    silent: {
      given: 'CREATE TABLE users (id bigint, age integer)',
      up: 'ALTER TABLE users ADD PRIMARY KEY (id)',
      because: 'the table has no primary key, and can have one only: the second time it fails',
    },
  },
};

export const REPETITION_RULES: readonly Rule[] = [notIdempotent];
