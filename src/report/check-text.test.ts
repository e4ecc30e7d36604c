import { describe, expect, test } from 'vitest';
import { painter } from './paint.ts';
import { findingLines } from './check-findings.ts';
import { statementLines } from './check-table.ts';
import { columnsOf } from './plain-text.ts';
import { sampleCheck } from './sample-check.test-data.ts';

const plain = painter(false);
const text = (width: number): string =>
  [
    ...statementLines(sampleCheck(), width, plain),
    ...findingLines(sampleCheck(), { file: 'plan.yaml', width, paint: plain }),
  ].join('\n');

describe('a check as text', () => {
  test('in 120 columns: a table', () => {
    expect(text(120)).toMatchInlineSnapshot(`
      "
      app (Postgres 18.4)
            lock                    held     on                     rows       MiB  who waits
        expand/columns
        1 ALTER TABLE users ALTER COLUMN id TYPE bigint
            ACCESS EXCLUSIVE        rewrite  users                  1,200,000  340  readers and writers
          rollback: needs a \`down\`
        2 CREATE INDEX users_by_mail ON users (mail)
          runs in its safe form: an index that is built CONCURRENTLY holds up nobody
          → CREATE INDEX CONCURRENTLY "users_by_mail" ON users (mail)
            SHARE UPDATE EXCLUSIVE  scan     users                  1,200,000  340  DDL
          rollback: drops the index
        3 ALTER TABLE events ADD COLUMN note text
            ACCESS EXCLUSIVE        moment   log.events and 2 more                  readers and writers
          rollback: drops the column
        4 CREATE TABLE notes (id bigint PRIMARY KEY)
            locks nothing that is in use
          rollback: drops the table

      1 error: refused; a \`ddl\` step may \`allow\` a rule with a reason
        type-change-rewrites  expand/columns, statement 1  plan.yaml:14:13
          Changing users.id from integer to bigint writes all 1,200,000 rows (340 MiB) anew under ACCESS EXCLUSIVE.
          instead: Add a column of the new type, keep it in step with \`dual-write\`, and take the old one out of use.
          docs/rules/type-change-rewrites.md

      1 warning
        add-column-select-star  expand/columns, statement 3  plan.yaml:16:13
          A client prepares SELECT * FROM users: it fails once with 0A000 after the column is there.
          instead: Let clients name their columns.
          docs/rules/add-column-select-star.md

      1 note
        not-idempotent  expand/columns, statement 3  plan.yaml:16:13
          It is no danger here.
          docs/rules/not-idempotent.md

      1 avoided: the engine runs the safe form
        index-not-concurrent  expand/columns, statement 2  plan.yaml:15:13
          Writers of users would wait while all 1,200,000 rows are read.
          docs/rules/index-not-concurrent.md

      1 allowed by the plan
        drop-index  expand/columns, statement 4  plan.yaml:17:13
          The index users_old goes.
          allowed: unused since May, DBA-311
          docs/rules/drop-index.md"
    `);
  });
  test('in 80 columns: in words', () => {
    expect(text(80)).toMatchInlineSnapshot(`
      "
      app (Postgres 18.4)
        expand/columns
        1 ALTER TABLE users ALTER COLUMN id TYPE bigint
            ACCESS EXCLUSIVE on users while it is rewritten (1,200,000 rows, 340 MiB);
            readers and writers wait
          rollback: needs a \`down\`
        2 CREATE INDEX users_by_mail ON users (mail)
          runs in its safe form: an index that is built CONCURRENTLY holds up nobody
          → CREATE INDEX CONCURRENTLY "users_by_mail" ON users (mail)
            SHARE UPDATE EXCLUSIVE on users while it is read through (1,200,000 rows,
            340 MiB); DDL waits
          rollback: drops the index
        3 ALTER TABLE events ADD COLUMN note text
            ACCESS EXCLUSIVE on log.events and 2 more for a moment; readers and
            writers wait
          rollback: drops the column
        4 CREATE TABLE notes (id bigint PRIMARY KEY)
            locks nothing that is in use
          rollback: drops the table

      1 error: refused; a \`ddl\` step may \`allow\` a rule with a reason
        type-change-rewrites  expand/columns, statement 1  plan.yaml:14:13
          Changing users.id from integer to bigint writes all 1,200,000 rows (340 MiB)
          anew under ACCESS EXCLUSIVE.
          instead: Add a column of the new type, keep it in step with \`dual-write\`,
          and take the old one out of use.
          docs/rules/type-change-rewrites.md

      1 warning
        add-column-select-star  expand/columns, statement 3  plan.yaml:16:13
          A client prepares SELECT * FROM users: it fails once with 0A000 after the
          column is there.
          instead: Let clients name their columns.
          docs/rules/add-column-select-star.md

      1 note
        not-idempotent  expand/columns, statement 3  plan.yaml:16:13
          It is no danger here.
          docs/rules/not-idempotent.md

      1 avoided: the engine runs the safe form
        index-not-concurrent  expand/columns, statement 2  plan.yaml:15:13
          Writers of users would wait while all 1,200,000 rows are read.
          docs/rules/index-not-concurrent.md

      1 allowed by the plan
        drop-index  expand/columns, statement 4  plan.yaml:17:13
          The index users_old goes.
          allowed: unused since May, DBA-311
          docs/rules/drop-index.md"
    `);
  });
  test.each([40, 80, 120, 200])('in %i columns no line is longer, places aside', (width) => {
    const long = text(width)
      .split('\n')
      .filter((line) => columnsOf(line) > width && !line.includes('plan.yaml:'));
    expect(long).toEqual([]);
  });
  test('a statement that tries to write to the terminal is shown as text', () => {
    const live = sampleCheck();
    const statement = live.databases[0]?.steps[0]?.statements[0];
    if (statement === undefined) throw new Error('the sample has no statement');
    statement.text = 'ALTER TABLE "\u001b[2J\nx" ADD a int';
    expect(statementLines(live, 120, plain).join('')).not.toContain('\u001b');
  });

  test('on a table that the plan itself makes, nobody waits yet; two tables of one kind are both named', () => {
    const lock = { schema: 'public', mode: 'SHARE ROW EXCLUSIVE', held: 'moment', waits: 'writers' } as const;
    const locks = [
      { ...lock, relation: 'parcels', waits: 'nobody', fresh: true } as const,
      { ...lock, relation: 'orders' },
      { ...lock, relation: 'customers' },
    ];
    const run = { text: 'x', concurrently: false, locks, rewrites: [], scans: [], diskBytes: 0 };
    const statement = {
      number: 1,
      text: 'x',
      offset: 0,
      line: 1,
      column: 1,
      runs: [run],
      safeForm: null,
      rollback: 'r',
    };
    const steps = [{ phase: 'expand', step: 'one', path: 'p', statements: [statement] }];
    const databases = [{ name: 'shop-db', version: '18.4', tables: [], steps }];
    const wide = statementLines({ databases }, 120, plain).join('\n');
    expect(wide).toMatch(/SHARE ROW EXCLUSIVE +moment +parcels +nobody yet/);
    expect(wide).toMatch(/SHARE ROW EXCLUSIVE +moment +orders, customers +writers/);
    expect(statementLines({ databases }, 50, plain).join('\n')).toContain('nobody uses it yet');
  });
});
