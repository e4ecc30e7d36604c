import type { EffectInput, EffectResult } from '../../src/activities/effect.ts';
import { verify } from '../../src/activities/verify.ts';
import { Databases, type Row, type Value } from '../../src/adapters/postgres/database.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import type { RunRef } from '../../src/messages/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { effectBench } from '../harness/effect-context.ts';
import { freshDatabase } from '../harness/servers.ts';

type Side = 'left' | 'right';
interface Options {
  signal?: AbortSignal;
  onNote?: (note: string) => void;
  databases?: Databases;
  run?: Partial<RunRef>;
}

/** Two databases, each with a ledger, whose tables are compared: `left` and `right` of the plans. */
export interface AcrossRoom {
  urls: Record<Side, string>;
  databases: Databases;
  query(side: Side, sql: string, values?: readonly Value[]): Promise<Row[]>;
  /** Statements of both sides, in `public`. */
  make(left: string, right: string): Promise<void>;
  step(fields: Record<string, unknown>, run?: Partial<RunRef>): EffectInput<'verify'>;
  /** Compares; `id` must be another one in each call that isn't to go on with the one before. */
  verify(fields: Record<string, unknown>, options?: Options): Promise<EffectResult>;
  raiseFence(side: Side, generation: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param rightServer the maintenance URL of another server than the tests' own, for the right side
 * @param rightUrl a database that is there already, and that stays
 */
export async function acrossRoom(rightServer?: string, rightUrl?: string): Promise<AcrossRoom> {
  const left = await freshDatabase('across');
  const right =
    rightUrl === undefined
      ? await freshDatabase('across', rightServer)
      : { url: rightUrl, drop: () => Promise.resolve() };
  const bench = await effectBench(left.url);
  const urls = { left: left.url, right: right.url };
  const databases = new Databases({ left: { url: urls.left }, right: { url: urls.right } });
  await upgradeLedger(databases.get('right'), { home: false });
  const raiseFence = (side: Side, generation: number): Promise<void> =>
    new StepLedger(databases.get(side)).raiseFence(bench.run({ generation }));
  await raiseFence('left', 1);
  await raiseFence('right', 1);
  const query: AcrossRoom['query'] = (side, sql, values) => databases.get(side).query(sql, values);
  const step: AcrossRoom['step'] = (fields, run) =>
    bench.input(stepKinds.verify.parse({ id: 'compare', uses: 'verify', settle: '150ms', ...fields }), {
      run: bench.run(run),
    });
  const close = async (): Promise<void> => {
    await databases.close();
    await bench.close();
    await left.drop();
    await right.drop();
  };
  return {
    urls,
    databases,
    query,
    step,
    raiseFence,
    close,
    async make(onLeft, onRight) {
      for (const [side, sql] of [
        ['left', onLeft],
        ['right', onRight],
      ] as const)
        await databases.get(side).session((session) => session.query(`SET search_path = public; ${sql}`));
    },
    verify: (fields, { run, databases: through, ...options } = {}) =>
      verify.up(step(fields, run), bench.context({ databases: through ?? databases, ...options })),
  };
}
