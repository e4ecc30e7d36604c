import { stepFields } from '../../src/plan/step.ts';
import { KINDS } from '../../src/plan/steps/index.ts';
import type { JsonSchema } from './plan-json-schema.ts';

const COMMON = Object.keys(stepFields);

/** What the definitions with a name are called in a table. */
const NAMES: Record<string, string> = {
  label: 'a DNS label',
  duration: 'a duration',
  identifier: 'an identifier',
  sql: 'SQL',
  version: 'a version in quotes',
  dateOrInstant: 'a date or an instant',
  condition: 'a condition',
};

/** Markdown tables of the fields of every step kind, by the name of their place in docs/plan-format.md. */
export function fieldTables(schema: JsonSchema): Record<string, string> {
  const definitions = schema.definitions ?? {};
  const step = (kind: string): JsonSchema => definitions[`step-${kind}`] ?? {};
  const only = (part: JsonSchema, keys: readonly string[]): string => table(part, keys, definitions);
  const kinds = KINDS.map((kind) => {
    const own = Object.keys(step(kind).properties ?? {}).filter((key) => key !== 'uses' && !COMMON.includes(key));
    return [`step-${kind}`, only(step(kind), own)] as const;
  });
  const named = ['chunk', 'throttle', 'retry'].map((name) => {
    const part = definitions[name] ?? {};
    return [name, only(part, Object.keys(part.properties ?? {}))] as const;
  });
  return { 'every-step': only(step('ddl'), COMMON), ...Object.fromEntries([...kinds, ...named]) };
}

function table(part: JsonSchema, keys: readonly string[], definitions: Readonly<Record<string, JsonSchema>>): string {
  const rows = keys.map((key) => {
    const field = part.properties?.[key] ?? {};
    const cells = [`\`${key}\``, typeWords(field, definitions), usual(field, part.required?.includes(key) === true)];
    return `| ${[...cells, field.description ?? ''].map(escaped).join(' | ')} |`;
  });
  return ['| field | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

const escaped = (cell: string): string => cell.replaceAll('|', '\\|');

function usual(field: JsonSchema, required: boolean): string {
  if (required) return '**required**';
  const value = field.default;
  const empty = value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
  return empty ? '' : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

function typeWords(field: JsonSchema, definitions: Readonly<Record<string, JsonSchema>>): string {
  const reference = (field.$ref ?? field.allOf?.[0]?.$ref)?.split('/').at(-1);
  if (reference !== undefined) {
    const name = NAMES[reference];
    if (name !== undefined) return name;
    return reference.startsWith('__') ? 'any JSON' : typeWords(definitions[reference] ?? {}, definitions);
  }
  const options = field.anyOf ?? field.oneOf;
  if (options !== undefined) return options.map((option) => typeWords(option, definitions)).join(', or ');
  if (field.enum !== undefined) return field.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (field.const !== undefined) return `\`${JSON.stringify(field.const)}\``;
  if (field.type === 'array') return `a list: ${typeWords(field.items ?? {}, definitions)}`;
  if (field.type === 'object') return objectWords(field, definitions);
  return scalarWords(field);
}

function objectWords(field: JsonSchema, definitions: Readonly<Record<string, JsonSchema>>): string {
  const keys = Object.keys(field.properties ?? {});
  if (keys.length > 0) return `\`{${keys.join(', ')}}\``;
  const value =
    typeof field.additionalProperties === 'object' ? typeWords(field.additionalProperties, definitions) : '';
  return `a mapping of ${value === '' ? 'anything' : value}`;
}

const JS_MAX = Number.MAX_SAFE_INTEGER;

function scalarWords({ type, minimum, maximum }: JsonSchema): string {
  if (type === 'boolean') return '`true`, `false`';
  if (type === 'string') return 'text';
  if (type !== 'integer' && type !== 'number') return 'anything';
  const words = type === 'integer' ? 'a whole number' : 'a number';
  const top = maximum === JS_MAX ? undefined : maximum;
  if (minimum !== undefined && top !== undefined) return `${words}, ${minimum} to ${top}`;
  return minimum === undefined ? words : `${words} from ${minimum}`;
}
