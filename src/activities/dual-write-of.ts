import type { DualWriteDetail } from '../adapters/postgres/dual-write-function.ts';
import type { TableSyncDetail } from '../adapters/postgres/table-sync-shape.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import { type RunRef, SwitchbackError } from '../messages/index.ts';
import type { StepOf } from '../plan/index.ts';
import type { Deps } from './deps.ts';

/** The dual write of one table that a step names with `of`, as the ledger of its database knows it. */
export const dualWriteOf = (deps: Deps, run: RunRef, of: StepOf<'dual-write'>): Promise<DualWriteDetail> =>
  inForce<DualWriteDetail>(deps, run, of, 'dualWrite');

/** The same of a dual write between two tables; null where `of` is about one. */
export const tableSyncOf = async (
  deps: Deps,
  run: RunRef,
  of: StepOf<'dual-write'>,
): Promise<TableSyncDetail | null> =>
  of.from === undefined ? null : inForce<TableSyncDetail>(deps, run, of, 'tableSync');

async function inForce<Detail>(
  deps: Deps,
  run: RunRef,
  of: StepOf<'dual-write'>,
  field: 'dualWrite' | 'tableSync',
): Promise<Detail> {
  const record = await new StepLedger(deps.databases.get(of.database)).read({ run, step: of.id });
  const detail = record?.detail[field] as Detail | undefined;
  if (record?.state === 'applied' && detail !== undefined) return detail;
  throw new SwitchbackError(
    'SchemaDrift',
    `step "${of.id}", which this one is \`of\`, is not in force (${record?.state ?? 'never started'})`,
    {
      hint: `let this step \`need\` "${of.id}", or retry that one first`,
      fields: { step: of.id, database: of.database },
    },
  );
}

/** Refuses, by name, fields whose engine this version does not have. Nothing that a plan says is ever ignored. */
export function refuseFields(kind: string, step: string, fields: Readonly<Record<string, boolean>>): void {
  const used = Object.keys(fields).filter((name) => fields[name] === true);
  if (used.length === 0) return;
  throw new SwitchbackError(
    'Unsupported',
    `step "${step}" (${kind}) uses ${used.map((name) => `\`${name}\``).join(', ')}, which this version can't do`,
    {
      hint: 'leave the field out, or use a version that has it',
      fields: { step, kind },
    },
  );
}
