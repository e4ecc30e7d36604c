import type { Obstacles } from '../activities/lifecycle.ts';
import { local, longActivity } from './activities.ts';
import type { Run } from './run.ts';

/**
 * Takes all tables that the migration touches, all or none, and waits for those who hold them and for the migrations it
 * requires. One activity for as long as nothing changes.
 */
export async function claimTables(run: Run): Promise<void> {
  // The way back needs nothing but its tables, which a run that was left as failed has given up.
  const requires = run.state.direction === 'up' ? run.checked.plan.spec.requires : [];
  const wanted = { tables: run.checked.claims, requires };
  let known = await run.onRecord(() => local.claim({ run: run.ref, ...wanted }));
  while (known.migrations.length > 0 || known.unmet.length > 0) {
    run.state.waiting['claim'] = wordsFor(known);
    run.changed();
    try {
      const before = known;
      known = await run.perform('claim', () =>
        longActivity<Obstacles>(
          'awaitClaim',
          { run: run.ref, ...wanted, known: before },
          { activityId: 'claim', summary: wordsFor(before) },
        ),
      );
    } finally {
      delete run.state.waiting['claim'];
    }
  }
  run.changed();
}

function wordsFor({ holders, unmet }: Obstacles): string {
  if (unmet.length > 0) return `waits for ${unmet.join(', ')} to complete (requires)`;
  const tables = holders.map(
    (holder) => `${holder.database}.${holder.schema}.${holder.table} (held by ${holder.migration})`,
  );
  return `waits for tables that other migrations hold: ${tables.join(', ')}`;
}
