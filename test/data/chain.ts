import { ddl } from '../../src/activities/ddl.ts';
import type { Effect } from '../../src/activities/effect.ts';
import { retire } from '../../src/activities/retire.ts';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import type { RunRef } from '../../src/messages/index.ts';
import type { Kind, StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type EffectBench } from '../harness/effect-context.ts';
import { effects, SPLIT } from './room.ts';

const EFFECTS = { ddl, retire, 'dual-write': effects.dualWrite, backfill: effects.backfill, verify: effects.verify };
type Known = keyof typeof EFFECTS;

/** A step as a plan has it, and the dual write that it is `of`. */
export interface ChainStep {
  id: string;
  uses: Known;
  of?: string;
  [field: string]: unknown;
}

/** The steps of one migration after each other, without Temporal: as far as asked, and back. */
export interface Chain {
  up(ids?: readonly string[]): Promise<void>;
  /** Undoes the steps, all or those asked for, last first, as a rollback does: also those that never began. */
  down(ids?: readonly string[]): Promise<void>;
}

export function chain(bench: EffectBench, steps: readonly ChainStep[], run: Partial<RunRef> = {}): Chain {
  const parsed = steps.map(({ uses, ...fields }) => stepKinds[uses].parse({ uses, ...fields }) as StepOf<Known>);
  const take = async (step: StepOf<Known>, direction: 'up' | 'down'): Promise<void> => {
    const of = parsed.find(({ id }) => 'of' in step && id === step.of) as StepOf<'dual-write'> | undefined;
    const input = bench.input<Kind>(step, { direction, of: of ?? null, run: bench.run(run) });
    await (EFFECTS[step.uses] as Effect<Known>)[direction](input, bench.context());
  };
  return {
    async up(ids) {
      for (const step of parsed) if (ids === undefined || ids.includes(step.id)) await take(step, 'up');
    },
    async down(ids) {
      for (const step of parsed.toReversed()) if (ids === undefined || ids.includes(step.id)) await take(step, 'down');
    },
  };
}

/** Expand, keep in step, fill, check, take the old column out of use. */
export const splitSteps = (of: { schema?: string; table?: string } = {}): ChainStep[] => {
  const { schema = 'public', table = 'users' } = of;
  const quoted = `"${table.replaceAll('"', '""')}"`;
  const where = { database: 'app', schema };
  return [
    {
      ...where,
      id: 'columns',
      uses: 'ddl',
      up: `ALTER TABLE ${quoted} ADD COLUMN given_name text; ALTER TABLE ${quoted} ADD COLUMN family_name text`,
    },
    { ...SPLIT, ...where, table },
    { id: 'fill', uses: 'backfill', of: 'sync', chunk: { rows: 50, fixed: true } },
    { id: 'check', uses: 'verify', of: 'sync', onMismatch: 'fail' },
    { ...where, id: 'hide', uses: 'retire', column: `${table}.full_name` },
  ];
};

export const schemaOf = async (bench: EffectBench): Promise<unknown> =>
  catalogJson(await bench.databases.get('app').session((session) => catalogSnapshot(session)));
