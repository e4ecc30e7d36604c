import { SwitchbackError } from '../../messages/index.ts';
import type { RunRef } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import type { RetiredDetail } from './retire-column.ts';
import type { RetiredTableDetail } from './retire-table.ts';
import { type RetireTarget, targetFields, targetWords } from './retire-work.ts';

/** The retirement of what is to be dropped, by the clock of the database that it is in. */
export interface Retirement {
  /** The step that took it out of use. */
  step: string;
  detail: RetiredDetail | RetiredTableDetail;
  /** The end of the retention, in UTC: `2026-12-04T09:30:00Z`. */
  dueAt: string;
  /** Milliseconds until then; 0 or less: it is over. */
  dueInMs: number;
}

/** Throws `SchemaDrift` where no step of the run has it out of use. */
export async function retirementOf(
  session: Queryable,
  run: RunRef,
  target: RetireTarget,
  retentionMs: number,
): Promise<Retirement> {
  const [row] = await session.query(
    `SELECT step, detail -> 'retired' AS retired,
       to_char((applied_at + $7 * interval '1 ms') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS due_at,
       ceil(extract(epoch FROM applied_at + $7 * interval '1 ms' - clock_timestamp()) * 1000)::bigint AS due_in
     FROM switchback.steps
     WHERE migration = $1 AND version = $2 AND epoch = $3 AND kind = 'retire' AND state = 'applied'
       AND detail -> 'retired' ->> 'schema' = $4 AND detail -> 'retired' ->> 'table' = $5
       AND detail -> 'retired' ->> 'column' IS NOT DISTINCT FROM $6`,
    [run.migration, run.version, run.epoch, target.schema, target.table, target.column, retentionMs],
  );
  if (row === undefined) {
    throw new SwitchbackError(
      'SchemaDrift',
      `${targetWords(target)} is not out of use: no \`retire\` step of this run is in force for it`,
      {
        hint: 'only what was retired can be dropped: retry the `retire` step, or leave this one out',
        fields: targetFields(target),
      },
    );
  }
  return {
    step: row['step'] ?? '',
    detail: JSON.parse(row['retired'] ?? '{}') as Retirement['detail'],
    dueAt: row['due_at'] ?? '',
    dueInMs: Number(row['due_in']),
  };
}

export const notDueYet = (target: RetireTarget, dueAt: string, why: string): SwitchbackError =>
  new SwitchbackError('NotDueYet', `${targetWords(target)} may be dropped from ${dueAt}: ${why}`, {
    hint: 'wait until then; nothing is lost meanwhile',
    fields: { ...targetFields(target), dueAt },
  });
