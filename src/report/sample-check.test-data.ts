import { type CheckedRun, type CheckFinding, type LiveCheck, problemOf } from '../messages/index.ts';

/** A check of a plan with one of everything: an error, a warning, a note, what is avoided and what is allowed. */
const PLACE = { database: 'app', phase: 'expand', step: 'columns', path: 'spec.phases[0].steps[0].up' } as const;

const run = (text: string, more: Partial<CheckedRun> = {}): CheckedRun => ({
  text,
  concurrently: false,
  locks: [],
  rewrites: [],
  scans: [],
  diskBytes: 0,
  ...more,
});
const users = { schema: 'public', relation: 'users' };
const work = { ...users, why: 'every row is written anew', rows: 1_200_000, bytes: 340 * 1024 * 1024 };

const finding = (rule: string, more: Partial<CheckFinding>): CheckFinding => ({
  ...PLACE,
  line: 14,
  column: 13,
  statement: 1,
  rule,
  title: 'A title',
  severity: 'error',
  message: 'Something would happen.',
  why: 'Because it does.',
  safeForm: '',
  avoided: false,
  allowed: null,
  refused: false,
  ...more,
});

const FINDINGS: CheckFinding[] = [
  finding('type-change-rewrites', {
    title: 'A type change that rewrites the table',
    message:
      'Changing users.id from integer to bigint writes all 1,200,000 rows (340 MiB) anew under ACCESS EXCLUSIVE.',
    safeForm: 'Add a column of the new type, keep it in step with `dual-write`, and take the old one out of use.',
    refused: true,
  }),
  finding('index-not-concurrent', {
    title: 'Index built without CONCURRENTLY',
    statement: 2,
    line: 15,
    message: 'Writers of users would wait while all 1,200,000 rows are read.',
    safeForm: 'CREATE INDEX CONCURRENTLY "users_by_mail" ON users (mail)',
    avoided: true,
  }),
  finding('add-column-select-star', {
    title: 'Prepared SELECT *',
    severity: 'warning',
    statement: 3,
    line: 16,
    message: 'A client prepares SELECT * FROM users: it fails once with 0A000 after the column is there.',
    safeForm: 'Let clients name their columns.',
  }),
  finding('not-idempotent', {
    title: 'No IF NOT EXISTS',
    severity: 'note',
    statement: 3,
    line: 16,
    message: 'It is no danger here.',
  }),
  finding('drop-index', {
    title: 'An index goes',
    statement: 4,
    line: 17,
    message: 'The index users_old goes.',
    allowed: 'unused since May, DBA-311',
  }),
];

export const sampleCheck = (): LiveCheck => ({
  digest: 'ab'.repeat(32),
  problems: [
    'database "billing" can’t be reached at 10.0.0.1:5432',
    ...FINDINGS.filter(({ refused }) => refused).map(problemOf),
  ],
  notes: ['app: Postgres 18.4', 'app: public.users has 340 MiB, about 1,200,000 rows'],
  databases: [
    {
      name: 'app',
      version: '18.4',
      tables: [{ schema: 'public', name: 'users', rows: 1_200_000, bytes: 340 * 1024 * 1024 }],
      steps: [
        {
          phase: 'expand',
          step: 'columns',
          path: PLACE.path,
          statements: [
            {
              number: 1,
              text: 'ALTER TABLE users\n  ALTER COLUMN id TYPE bigint',
              offset: 0,
              line: 14,
              column: 13,
              runs: [
                run('ALTER TABLE users ALTER COLUMN id TYPE bigint', {
                  locks: [{ ...users, mode: 'ACCESS EXCLUSIVE', held: 'rewrite', waits: 'readers and writers' }],
                  rewrites: [work],
                  diskBytes: work.bytes,
                }),
              ],
              safeForm: null,
              rollback: null,
            },
            {
              number: 2,
              text: 'CREATE INDEX users_by_mail ON users (mail)',
              offset: 50,
              line: 15,
              column: 13,
              runs: [
                run('CREATE INDEX CONCURRENTLY "users_by_mail" ON users (mail)', {
                  concurrently: true,
                  locks: [{ ...users, mode: 'SHARE UPDATE EXCLUSIVE', held: 'scan', waits: 'DDL' }],
                  scans: [{ ...work, why: 'the index is built' }],
                }),
              ],
              safeForm: 'an index that is built CONCURRENTLY holds up nobody',
              rollback: 'drops the index',
            },
            {
              number: 3,
              text: 'ALTER TABLE events ADD COLUMN note text',
              offset: 100,
              line: 16,
              column: 13,
              runs: [
                run('ALTER TABLE events ADD COLUMN note text', {
                  locks: ['events', 'events_1', 'events_2'].map((relation) => ({
                    schema: 'log',
                    relation,
                    mode: 'ACCESS EXCLUSIVE',
                    held: 'moment',
                    waits: 'readers and writers',
                  })),
                }),
              ],
              safeForm: null,
              rollback: 'drops the column',
            },
            {
              number: 4,
              text: 'CREATE TABLE notes (id bigint PRIMARY KEY)',
              offset: 150,
              line: 17,
              column: 13,
              runs: [run('CREATE TABLE notes (id bigint PRIMARY KEY)')],
              safeForm: null,
              rollback: 'drops the table',
            },
          ],
        },
      ],
    },
    { name: 'billing', version: null, tables: [], steps: [] },
  ],
  findings: FINDINGS,
  schemas: {},
});
