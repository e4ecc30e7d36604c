import type { CatalogObject, Json } from './catalog.ts';
import type { CatalogChange } from './catalog-difference.ts';
import { aloneMove, type Move } from './catalog-move.ts';
import { objectSql } from './catalog-statement.ts';
import { quoteIdentifier, quoteLiteral } from './identifier.ts';

/** Sets one property of an enum, a domain or a composite type back; null where no statement of Postgres does. */
export function restoreType(change: CatalogChange, property: string): (string | Move)[] | null {
  const { before, after } = change;
  const alter = (action: string): string => `ALTER ${objectSql(before)} ${action}`;
  const was = before.properties[property] ?? null;
  switch (property) {
    case 'labels':
      return (
        renamedLabels(strings(was), strings(after.properties[property]))?.map(([from, to]) =>
          alter(`RENAME VALUE ${quoteLiteral(from).trim()} TO ${quoteLiteral(to).trim()}`),
        ) ?? null
      );
    case 'attributes':
      return (
        addedAttributes(strings(was), strings(after.properties[property]))?.map((name) =>
          alter(`DROP ATTRIBUTE ${name}`),
        ) ?? null
      );
    case 'default':
      return [alter(was === null ? 'DROP DEFAULT' : `SET DEFAULT ${String(was)}`)];
    case 'notNull':
      return [alter(was === true ? 'SET NOT NULL' : 'DROP NOT NULL')];
    case 'constraints':
      return domainConstraints(before, after);
    default:
      return null;
  }
}

const strings = (value: Json | undefined): string[] => (value ?? []) as string[];

/** Pairs of today's and the earlier label; null where labels were added, which nothing takes back. */
function renamedLabels(before: readonly string[], after: readonly string[]): [string, string][] | null {
  if (before.length !== after.length) return null;
  return before.flatMap((label, index): [string, string][] => {
    const now = after[index];
    return now === undefined || now === label ? [] : [[now, label]];
  });
}

/** The quoted names of the attributes that came at the end. */
function addedAttributes(before: readonly string[], after: readonly string[]): string[] | null {
  if (!before.every((attribute, index) => attribute === after[index])) return null;
  return after.slice(before.length).map((attribute) => /^(?:"(?:[^"]|"")*"|\S+)/.exec(attribute)?.[0] ?? attribute);
}

/** Constraints that a domain lost come back unchecked first, then they are checked. */
function domainConstraints(before: CatalogObject, after: CatalogObject): (string | Move)[] {
  const constraintsOf = ({ properties }: CatalogObject): Record<string, string> =>
    (properties['constraints'] ?? {}) as Record<string, string>;
  const [was, is] = [constraintsOf(before), constraintsOf(after)];
  const alter = (action: string): string => `ALTER ${objectSql(before)} ${action}`;
  const differs = (name: string): boolean => was[name] !== is[name];
  const isNotNull = (definition: string | undefined): boolean => definition?.startsWith('NOT NULL') === true;
  const gone = Object.keys(is).filter((name) => differs(name) && !isNotNull(is[name]));
  const back = Object.keys(was).filter((name) => differs(name) && !isNotNull(was[name]));
  return [
    ...gone
      .filter((name) => is[name] !== `${was[name]} NOT VALID`)
      .map((name) => alter(`DROP CONSTRAINT ${quoteIdentifier(name)}`)),
    ...back.flatMap((name): (string | Move)[] => {
      const validate = aloneMove(before, alter(`VALIDATE CONSTRAINT ${quoteIdentifier(name)}`));
      if (is[name] === `${was[name]} NOT VALID`) return [validate];
      const add = alter(`ADD CONSTRAINT ${quoteIdentifier(name)} ${was[name]}`);
      return was[name]?.endsWith(' NOT VALID') === true ? [add] : [`${add} NOT VALID`, validate];
    }),
  ];
}
