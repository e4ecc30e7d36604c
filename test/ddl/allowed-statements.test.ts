import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure } from './other-session.ts';

/** Statements whose effects show only when they run, as a plan may have them that allows them and has a `down`. */
describe('statements that nobody can look into', () => {
  let bench: DdlBench;
  beforeAll(async () => {
    bench = await ddlBench(`SET search_path = public;
      CREATE TABLE shipments (id bigint, state text);
      CREATE PROCEDURE note(what text) LANGUAGE sql AS 'INSERT INTO public.shipments (state) VALUES (what)';
      CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.shipments VALUES (9); COMMIT; END'`);
  });
  afterAll(() => bench.drop());
  const states = async (): Promise<unknown> =>
    (await bench.query('SELECT state FROM public.shipments ORDER BY state')).map((row) => row['state']);

  test('a DO block runs once, with its record, and goes back by `down`', async () => {
    const before = await bench.schema();
    const step = bench.step(
      "DO $$ BEGIN ALTER TABLE shipments ADD COLUMN sent date; INSERT INTO shipments (state) VALUES ('by DO'); END $$",
      { id: 'block', down: 'ALTER TABLE shipments DROP COLUMN sent; DO $$ BEGIN DELETE FROM shipments; END $$' },
    );
    await Promise.all([bench.up(step), bench.up(step)]);
    await bench.up(step);
    expect(await states()).toEqual(['by DO']);
    await bench.down(step);
    expect(await states()).toEqual([]);
    expect(await bench.schema()).toEqual(before);
  });

  test('what fails in the middle of a block leaves nothing', async () => {
    const before = await bench.schema();
    const step = bench.step(
      "DO $$ BEGIN ALTER TABLE shipments ADD COLUMN lost date; RAISE EXCEPTION 'half-way'; END $$",
      { id: 'half', down: 'ALTER TABLE shipments DROP COLUMN lost' },
    );
    expect((await failure(bench.up(step))).message).toContain('half-way');
    expect(await bench.schema()).toEqual(before);
  });

  test('a procedure is called once; one that commits by itself is refused by Postgres', async () => {
    const down = 'DO $$ BEGIN DELETE FROM shipments; END $$';
    const step = bench.step("CALL note('by CALL')", { id: 'call', down });
    await bench.up(step);
    await bench.up(step);
    expect(await states()).toEqual(['by CALL']);
    await bench.down(step);
    const error = await failure(bench.up(bench.step('CALL commits()', { id: 'commits', down })));
    expect(error).toMatchObject({ code: 'StatementFailed', message: expect.stringContaining('invalid transaction') });
    expect(await states()).toEqual([]);
  });

  test('a program’s rows come in once', async () => {
    const down = 'DO $$ BEGIN DELETE FROM shipments; END $$';
    const step = bench.step("COPY shipments FROM PROGRAM 'echo 1,by COPY' (FORMAT csv)", { id: 'copy', down });
    await bench.up(step);
    await bench.up(step);
    expect(await states()).toEqual(['by COPY']);
    await bench.down(step);
    expect(await states()).toEqual([]);
  });

  test('what the plan doesn’t allow is refused by name, also where it got past the check of the plan', async () => {
    const step = bench.step('DO $$ BEGIN END $$', {
      id: 'refused',
      down: 'COMMENT ON TABLE shipments IS NULL',
      allow: [],
    });
    const error = await failure(bench.up(step));
    expect(error).toMatchObject({ code: 'RuleViolated', fields: { rule: 'do-block' } });
    const allowed = { ...step, allow: [{ rule: 'do-block', reason: 'it does nothing' }] };
    expect((await bench.up(allowed)).note).toBe('applied 1 statement');
  });

  test.each(['DO $$ BEGIN END $$', "CALL note('x')", "COPY shipments FROM PROGRAM 'echo 1,x' (FORMAT csv)"])(
    'without a `down`, %s changes nothing',
    async (up) => {
      const error = await failure(bench.up(bench.step(up, { id: `alone-${up.slice(0, 4).trim().toLowerCase()}` })));
      expect(error).toMatchObject({ code: 'NotReversible', hint: 'write `down` for this step' });
      expect(await states()).toEqual([]);
    },
  );
});
