import { expect, onTestFinished, test } from 'vitest';
import { dataRoom, type DataRoom, effects, users } from './room.ts';

const { dualWrite, backfill, verify } = effects;

/** Updates that each writer has committed before the last pass begins. They come at several thousand a second. */
const UPDATES_MIN = 1_500;

/** Hammers rows from within the server, a transaction for each update, until the test ends. */
async function hammer(room: DataRoom, name: string, setting: string, update: string): Promise<() => Promise<number>> {
  await room.query(`CREATE TABLE public.${name} (n bigint); INSERT INTO public.${name} VALUES (0)`);
  const running = room.database.session(async (session) => {
    await session.query(setting);
    await session.query(`DO $hammer$ DECLARE i bigint := 0; BEGIN
      LOOP
        i := i + 1; ${update}; UPDATE public.${name} SET n = i WHERE n >= 0;
        EXIT WHEN NOT FOUND;
        COMMIT;
      END LOOP; END $hammer$`);
  });
  onTestFinished(async () => {
    await room.query(`UPDATE public.${name} SET n = -1`);
    await running;
  });
  return async () => Number(await room.value(`SELECT n FROM public.${name}`));
}

test('hot rows: what is in step is never reported, what is wrong always, wherever an update moves it', async () => {
  const room = await dataRoom(users(3_000));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await backfill.up(room.backfill(), room.bench.context());
  await room.query(
    "BEGIN; SET LOCAL session_replication_role = replica; UPDATE public.users SET given_name = 'wrong' WHERE id BETWEEN 3 AND 22; COMMIT",
  );
  const counters = [
    await hammer(
      room,
      'in_step',
      'SELECT 1',
      `IF i % 2 = 0 THEN UPDATE public.users SET full_name = 'Old ' || i WHERE id = 1;
       ELSE UPDATE public.users SET given_name = 'New', family_name = 'Name ' || i WHERE id = 1; END IF`,
    ),
    await hammer(
      room,
      'kept_wrong',
      'SET session_replication_role = replica',
      "UPDATE public.users SET given_name = 'wrong ' || i WHERE id = 2",
    ),
    // Clients that touch another column of rows that are wrong already: the triggers let that by.
    await hammer(room, 'moved', 'SELECT 1', 'UPDATE public.users SET note = i::text WHERE id = 3 + i % 20'),
  ];
  const wrong = Array.from({ length: 21 }, (_, index) => String(index + 2));
  let passes = 0;
  for (let enough = false; !enough || passes < 2; passes += 1) {
    enough = (await Promise.all(counters.map((count) => count()))).every((count) => count >= UPDATES_MIN);
    // One pass looks at all of it in one statement and then at each range; the other goes range by range.
    const throttle = passes % 2 === 0 ? {} : { maxRowsPerSecond: 5_500 };
    const step = room.verify({ onMismatch: 'fail', chunk: { rows: 500 }, throttle });
    const error = await verify.up(step, room.bench.context()).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'VerifyMismatch', fields: { differing: 21, checked: 3_000 } });
    const keys = (error as { fields: { keys: string } }).fields.keys.split(', ');
    expect(keys.length).toBe(20);
    expect(keys.filter((key) => !wrong.includes(key))).toEqual([]);
  }
});
