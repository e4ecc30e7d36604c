import type { z } from 'zod';
import { type Finding, invalid, type Path } from '../finding.ts';
import { nearest } from '../nearest.ts';
import { shown } from './problem.ts';
import { knownKeys } from './schema-at.ts';
import type { Source } from './source.ts';

type Issue = z.core.$ZodIssue;

/** `rule`: what is wrong is a mapping as a whole, by a rule over several of its keys. */
type ShapeFinding = Finding & { rule?: boolean };

/** zod's issues as findings that say one thing each; what follows from a mistyped key is left out. */
export function shapeFindings(issues: readonly Issue[], given: unknown, source: Source): Finding[] {
  const findings = issues.flatMap((issue) => readIssue(issue, [], { given, source }));
  const misspelt = findings.filter((finding) => finding.at === 'key' && finding.didYouMean !== undefined);
  const meant = new Set(misspelt.map(({ path, didYouMean }) => JSON.stringify([...path.slice(0, -1), didYouMean])));
  const owners = new Set(misspelt.map(({ path }) => JSON.stringify(path.slice(0, -1))));
  const seen = new Set<string>();
  return findings.filter((finding) => {
    const place = JSON.stringify(finding.path);
    // A value that fails a pattern fails the refinements after it too: the first says enough.
    const again = finding.at !== 'key' && seen.has(place);
    if (finding.at !== 'key') seen.add(place);
    const missing = finding.message.startsWith('missing') && meant.has(place);
    return !again && !missing && !(finding.rule === true && owners.has(place));
  });
}

interface Context {
  given: unknown;
  source: Source;
}

const valueAt = (given: unknown, path: Path): unknown =>
  path.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | null | undefined)?.[key], given);

function readIssue(issue: Issue, prefix: Path, context: Context): ShapeFinding[] {
  const path = [...prefix, ...(issue.path as (string | number)[])];
  switch (issue.code) {
    case 'unrecognized_keys':
      return unknownKeys(issue.keys, path, context);
    case 'invalid_key':
      return [invalid(path, `expected the key to be ${issue.issues[0]?.message ?? 'another'}`, { at: 'key' })];
    case 'invalid_union':
      return readUnion(issue, path, context);
    default:
      return [expectedAt(path, { ...expectation(issue), rule: issue.code === 'custom' }, context)];
  }
}

function unknownKeys(keys: readonly string[], path: Path, { given }: Context): Finding[] {
  const known = knownKeys(given, path);
  const present = Object.keys((valueAt(given, path) as object | null | undefined) ?? {});
  const free = known.filter((key) => !present.includes(key));
  return keys.map((key) => {
    const didYouMean = nearest(key, free);
    return invalid([...path, key], 'unknown key', {
      at: 'key',
      ...(known.length > 0 && { allowed: known.join(', ') }),
      ...(didYouMean !== undefined && { didYouMean }),
    });
  });
}

function readUnion(issue: Extract<Issue, { code: 'invalid_union' }>, path: Path, context: Context): ShapeFinding[] {
  if (issue.errors.length === 0) {
    const options = ('options' in issue && Array.isArray(issue.options) ? issue.options : []).map(String);
    return [oneOf(path, options, context, 'step kind')];
  }
  const value = valueAt(context.given, path);
  const fitting = issue.errors.filter((branch) => !branch.some((inner) => inner.path.length === 0 && wrongType(inner)));
  if (fitting.length === 0) {
    const types = new Set(
      issue.errors.flatMap((branch) => branch.slice(0, 1).map((inner) => expectation(inner).expected)),
    );
    return [expectedAt(path, { expected: [...types].join(', ').replace(/, (?=[^,]*$)/, ' or ') }, context)];
  }
  // The branch that was meant is the one that misses and doesn't know the fewest keys.
  const misfit = (branch: readonly Issue[]): number =>
    branch.reduce((sum, inner) => {
      if (inner.code === 'unrecognized_keys') return sum + inner.keys.length;
      const missing =
        inner.path.length === 1 && (value as Record<string, unknown>)?.[inner.path[0] as string] === undefined;
      return sum + (missing ? 1 : 0);
    }, 0);
  const best = fitting.toSorted((a, b) => misfit(a) - misfit(b))[0] ?? [];
  return best.flatMap((inner) => readIssue(inner, path, context));
}

const wrongType = (issue: Issue): boolean => issue.code === 'invalid_type' || issue.code === 'invalid_value';

const TYPES: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  null: 'null',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};
const UNITS: Record<string, (size: number | bigint) => string> = {
  string: (size) => `${size} character${size === 1 ? '' : 's'}`,
  array: (size) => `${size} item${size === 1 ? '' : 's'}`,
};

/** What would have been right: in the schema's own words where it has some. */
interface Expectation {
  expected: string;
  options?: string[];
  rule?: boolean;
}
const ZODS_OWN = /^(Invalid|Too (big|small)|Unrecognized)/;

function expectation(issue: Issue): Expectation {
  if (!ZODS_OWN.test(issue.message)) return { expected: issue.message };
  switch (issue.code) {
    case 'invalid_type':
      return { expected: TYPES[issue.expected] ?? issue.expected };
    case 'invalid_value':
      return {
        expected: issue.values.map((value) => JSON.stringify(value)).join(' or '),
        options: issue.values.map(String),
      };
    case 'too_small':
    case 'too_big':
      return { expected: bound(issue) };
    case 'invalid_format':
      return { expected: issue.format === 'url' ? 'a URL' : `the format ${issue.format}` };
    default:
      return { expected: issue.message };
  }
}

function bound(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): string {
  const limit = issue.code === 'too_small' ? issue.minimum : issue.maximum;
  const size = UNITS[issue.origin];
  if (size !== undefined) {
    if (issue.code === 'too_small' && limit === 1)
      return issue.origin === 'string' ? 'text that is not empty' : 'at least one item';
    return `${issue.code === 'too_small' ? 'at least' : 'at most'} ${size(limit)}`;
  }
  const words =
    issue.code === 'too_small'
      ? issue.inclusive
        ? 'at least'
        : 'more than'
      : issue.inclusive
        ? 'at most'
        : 'less than';
  return `a number of ${words} ${limit}`;
}

function expectedAt(path: Path, { expected, options, rule }: Expectation, context: Context): ShapeFinding {
  if (options !== undefined && options.length > 1) return oneOf(path, options, context, 'value');
  const value = valueAt(context.given, path);
  if (value === undefined) return invalid(path, `missing; expected ${expected}`);
  // Of a mapping that breaks a rule, what was found is the mapping, which says nothing.
  if (rule === true && typeof value === 'object') return { ...invalid(path, `expected ${expected}`), rule };
  return invalid(path, `expected ${expected}`, { found: shown(value, path, context.source) });
}

function oneOf(path: Path, options: readonly string[], { given, source }: Context, noun: string): Finding {
  const value = valueAt(given, path);
  const allowed = options.join(', ');
  if (value === undefined) return invalid(path, 'missing', { allowed });
  const didYouMean = typeof value === 'string' ? nearest(value, options) : undefined;
  return invalid(path, `unknown ${noun}`, {
    found: shown(value, path, source),
    allowed,
    ...(didYouMean !== undefined && { didYouMean }),
  });
}
