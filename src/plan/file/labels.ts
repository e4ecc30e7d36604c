import type { Claim } from '../../sql/index.ts';
import { type Finding, invalid } from '../finding.ts';
import { nearest } from '../nearest.ts';
import { isLabelled, PII, PII_LABEL_FORMS, readPiiLabel } from '../pii-label.ts';
import type { Plan } from '../plan.ts';

const PATH = ['metadata', 'labels', PII] as const;

/**
 * What is wrong with the label by which a plan says which of its tables hold personal data. A mistake in it would show
 * what must not be shown, so a table that no step touches is one. `claims`: null where the steps can't be read yet.
 */
export function labelFindings(plan: Plan, claims: readonly Claim[] | null): Finding[] {
  const text = plan.metadata.labels[PII];
  if (text === undefined) return [];
  const label = readPiiLabel(text);
  if (label === null)
    return [invalid(PATH, 'it says no tables with personal data', { found: text, allowed: PII_LABEL_FORMS })];
  if (label === 'all' || claims === null) return [];
  return label
    .filter((table) => !claims.some((claim) => isLabelled(table, claim)))
    .map(({ database, schema, table }) => {
      const name = `${database === null ? '' : `${database}/`}${schema === null ? '' : `${schema}.`}${table}`;
      const known = [...new Set(claims.map((claim) => claim.table))];
      const meant = nearest(table, known);
      return invalid(PATH, `no step of the plan touches table "${name}"`, {
        found: text,
        allowed: known.join(', ') || 'true',
        ...(meant !== undefined && meant !== table && { didYouMean: meant }),
      });
    });
}
