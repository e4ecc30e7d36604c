import { conditionsOf, type Draft, stepsOf } from './draft.ts';
import type { Finding, Path } from './finding.ts';
import type { Kind } from './steps/index.ts';

type When = 'given' | 'filled' | 'true';
interface KindGap {
  kind: Kind;
}
interface FieldGap {
  /** Where the field stands; for steps, the kinds that it counts for. */
  in: Kind[] | 'phase' | 'service' | 'approval rule' | 'condition';
  /** A field, or the way to one (`chunk.rows`; `ramp[].stage` is any item's). */
  field: string;
  /** Whether any value counts, any but an empty one, or only `true`. */
  when: When;
}

/**
 * What the plan format has and this version has no engine for. Such a plan is refused by name, never half obeyed. An
 * engine that arrives deletes its lines here, and nothing else.
 */
export const UNSUPPORTED: readonly (KindGap | FieldGap)[] = [
  { kind: 'move' },

  { in: ['approval'], field: 'verified', when: 'true' },

  { in: 'condition', field: 'compatible', when: 'given' },
  { in: 'phase', field: 'live', when: 'given' },
  { in: 'service', field: 'contracts', when: 'filled' },
  { in: 'approval rule', field: 'verified', when: 'true' },
];

const refused = (path: Path, words: string): Finding => ({
  code: 'Unsupported',
  path,
  at: 'key',
  message: `${words} is part of the plan format, but this version has no engine for it`,
});

/** A gap in words: `` `verified: true` of an approval step``; of which kind, where it counts for several. */
export function gapWords(gap: FieldGap, uses?: string): string {
  const field = `\`${gap.field.replaceAll('[]', '')}${gap.when === 'true' ? ': true' : ''}\``;
  if (gap.in === 'condition') return `${field} as a condition`;
  const owner = typeof gap.in === 'string' ? gap.in : `${uses ?? gap.in.join(' or ')} step`;
  return `${field} of ${/^[aeiou]/.test(owner) ? 'an' : 'a'} ${owner}`;
}

/** Everything that a plan asks for and this version can't do. */
export function unsupportedIn(draft: Draft): Finding[] {
  return UNSUPPORTED.flatMap((gap) =>
    'kind' in gap
      ? stepsOf(draft)
          .filter((step) => step.uses === gap.kind)
          .map((step) => ({ ...refused([...step.path, 'uses'], `\`uses: ${gap.kind}\``), at: 'value' as const }))
      : owners(draft, gap.in).flatMap((owner) =>
          pathsOf(owner.raw, gap.field.split('.'), gap.when).map((path) =>
            refused([...owner.path, ...path], gapWords(gap, kindOf(owner.raw))),
          ),
        ),
  );
}

const kindOf = (raw: unknown): string => String((raw as { uses?: unknown } | null)?.uses);

function owners(draft: Draft, where: FieldGap['in']): readonly { path: Path; raw: unknown }[] {
  const spec = (draft.raw as { spec?: { services?: unknown; policies?: { approvals?: unknown } | null } | null } | null)
    ?.spec;
  switch (where) {
    case 'phase':
      return draft.phases;
    case 'condition':
      return conditionsOf(draft);
    case 'service':
      return Object.entries(spec?.services ?? {}).map(([name, raw]) => ({ path: ['spec', 'services', name], raw }));
    case 'approval rule': {
      const rules = spec?.policies?.approvals;
      return Array.isArray(rules) ? rules.map((raw, i) => ({ path: ['spec', 'policies', 'approvals', i], raw })) : [];
    }
    default:
      return stepsOf(draft).filter((step) => (where as readonly (string | null)[]).includes(step.uses));
  }
}

/** The paths, below `value`, at which a field stands and counts. */
function pathsOf(value: unknown, [name, ...rest]: string[], when: When): Path[] {
  if (name === undefined) return counts(value, when) ? [[]] : [];
  if (typeof value !== 'object' || value === null) return [];
  const each = name.endsWith('[]');
  const key = each ? name.slice(0, -2) : name;
  const child = (value as Record<string, unknown>)[key];
  if (child === undefined) return [];
  if (!each) return pathsOf(child, rest, when).map((path) => [key, ...path]);
  if (!Array.isArray(child)) return [];
  return child.flatMap((item, index) => pathsOf(item, rest, when).map((path) => [key, index, ...path]));
}

function counts(value: unknown, when: When): boolean {
  if (when === 'true') return value === true;
  if (value === undefined || value === null) return false;
  return when === 'given' || typeof value !== 'object' || Object.keys(value).length > 0;
}
