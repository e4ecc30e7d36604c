import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { isSecret } from '../adapters/notify/signature.ts';
import { defaultName } from '../adapters/notify/webhook.ts';
import { DEFAULT_TASK_QUEUE, NOTIFICATION_EVENTS, SwitchbackError } from '../messages/index.ts';
import { YamlSource } from '../plan/file/source.ts';
import { pathText } from '../plan/finding.ts';
import { nearest } from '../plan/nearest.ts';
import { labelledTable, PII } from '../plan/pii-label.ts';
import { duration, label } from '../plan/values.ts';

/** The configuration as the file has it, checked, with its variables filled in; embedded servers not yet looked up. */
export type ConfigFile = z.output<typeof configSchema>;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const urlOf = (protocols: readonly string[], example: string) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    error: `a URL such as ${example}`,
  });
const postgresUrl = urlOf(['postgres:', 'postgresql:'], 'postgres://user:password@host:5432/name');
const httpUrl = urlOf(['http:', 'https:'], 'https://host/path');
const EMBEDDED_OR_URL = 'either `embedded: true` or a `url`';
const embedded = z.literal(true, { error: 'true, or the key left out' }).optional();
/** Bytes per unit, as Postgres counts them. */
const UNITS: Readonly<Record<string, number>> = { kB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 };
const size = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,3})? ?(kB|MB|GB|TB)$/, { error: 'a size such as 200GB (kB, MB, GB or TB, of 1024 each)' })
  .transform((text) => Math.floor(Number.parseFloat(text) * (UNITS[text.slice(-2)] ?? 1)));
const isEither = (of: { embedded?: true | undefined; url?: string | undefined }): boolean =>
  (of.embedded === true) !== (of.url !== undefined);

const tableName = z.string().refine((text) => labelledTable(text) !== null, {
  error: 'a table as `table` or `schema.table`, in double quotes where it has other characters',
});

const database = z
  .strictObject({
    embedded,
    url: postgresUrl.optional(),
    directUrl: postgresUrl.optional(),
    replicas: z.array(postgresUrl).max(20).default([]),
    room: size.optional(),
    throttle: z.strictObject({ maxRowsPerSecond: z.number().positive().optional() }).optional(),
    labels: z.record(tableName, z.array(z.literal(PII, { error: '`pii`, the one label there is' })).min(1)).optional(),
  })
  .refine(isEither, { error: EMBEDDED_OR_URL });
const unleash = z
  .strictObject({
    embedded,
    url: httpUrl.optional(),
    adminToken: z.string().min(1).optional(),
    clientToken: z.string().min(1).optional(),
  })
  .refine(isEither, { error: EMBEDDED_OR_URL })
  .refine((of) => !isEither(of) || of.url === undefined || of.adminToken !== undefined, {
    error: "a token of Unleash's Admin API",
    path: ['adminToken'],
  });

const secret = z.string().refine(isSecret, {
  error:
    'a secret of Standard Webhooks, whsec_ and the base64 of 24 to 64 random bytes: echo whsec_$(openssl rand -base64 32)',
});
const notification = z
  .strictObject({
    name: label.optional(),
    webhook: httpUrl,
    events: z.array(z.enum(NOTIFICATION_EVENTS)).min(1),
    secret: secret.optional(),
    secrets: z.array(secret).min(1).max(5).optional(),
    services: z.array(label).min(1).optional(),
  })
  .refine((of) => of.secret === undefined || of.secrets === undefined, {
    error: 'either one `secret` or a list of `secrets`',
  });
const nameOf = ({ name, webhook }: z.output<typeof notification>): string => name ?? defaultName(webhook);

export const configSchema = z.strictObject({
  taskQueue: z.string().min(1).max(200).default(DEFAULT_TASK_QUEUE),
  ledger: label.optional(),
  databases: z.record(label, database).default({}),
  unleash: unleash.optional(),
  prometheus: z.strictObject({ url: httpUrl }).optional(),
  approvers: z.record(z.string().min(1), z.array(z.string().min(1)).min(1)).default({}),
  notifications: z
    .array(notification)
    .max(50)
    .superRefine((all, context) => {
      for (const [index, one] of all.entries())
        if (all.findIndex((other) => nameOf(other) === nameOf(one)) < index)
          context.addIssue({
            code: 'custom',
            path: [index],
            message: 'a `name` of its own: another entry has that one',
          });
    })
    .default([]),
  deprecationNotice: z.array(duration).max(20).default(['30d', '7d', '1d']),
  health: z
    .strictObject({ host: z.string().min(1).default('127.0.0.1'), port: z.int().min(0).max(65_535).default(7280) })
    .prefault({}),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default('info') }).prefault({}),
});

export type Environment = Readonly<Record<string, string | undefined>>;

interface Problem {
  path: readonly (string | number)[];
  at: 'key' | 'value';
  message: string;
}

/**
 * Reads `switchback.config.yaml`: YAML, its variables, its shape. Values never appear in errors, because any of them
 * may be a secret.
 *
 * @param file its name, for messages
 * @throws SwitchbackError ConfigInvalid with every problem's key, line and column, and what is allowed there
 */
export function parseConfig(text: string, file: string, env: Environment): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.2', schema: 'core', prettyErrors: false, lineCounter: lines });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault) {
    const { line, col } = lines.linePos(fault.pos[0]);
    throw configInvalid([`${file}:${line}:${col}  not YAML (${fault.code.toLowerCase().replaceAll('_', ' ')})`]);
  }
  const source = new YamlSource(document, lines, text);
  const place = ({ path, at, message }: Problem): string => {
    const { line, column } = source.locate(path, at, null);
    return `${file}:${line}:${column}  ${path.length === 0 ? '' : `${pathText(path)}: `}${message}`;
  };

  const problems: Problem[] = [];
  const given: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  const filled = expand(given, [], env, problems);
  const read = configSchema.safeParse(filled);
  if (!read.success) {
    const unfilled = new Set(problems.map(({ path }) => pathText(path)));
    const wrong = read.error.issues.flatMap((issue) => problemsOf(issue));
    problems.push(...wrong.filter(({ path }) => !unfilled.has(pathText(path))));
  }
  if (problems.length > 0) throw configInvalid(problems.map(place));
  return read.data as ConfigFile;
}

export function configInvalid(
  lines: readonly string[],
  hint = 'docs/configuration.md lists every key',
): SwitchbackError {
  return new SwitchbackError(
    'ConfigInvalid',
    `the configuration is wrong:\n${lines.map((line) => `  ${line}`).join('\n')}`,
    { hint },
  );
}

const VARIABLE = /\$\$\{|\$\{([^}]*)(\}?)/g;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Fills `${NAME}` in every text of the value; `$${` stands for `${` itself. */
function expand(value: unknown, path: readonly (string | number)[], env: Environment, problems: Problem[]): unknown {
  if (Array.isArray(value)) return value.map((item, index) => expand(item, [...path, index], env, problems));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, expand(inner, [...path, key], env, problems)]),
    );
  }
  if (typeof value !== 'string') return value;
  return value.replaceAll(VARIABLE, (whole, name: string | undefined, end: string | undefined) => {
    if (name === undefined) return '${';
    if (end === '' || !VARIABLE_NAME.test(name)) {
      problems.push({ path, at: 'value', message: 'a variable is written ${NAME}; write $${ for the characters ${' });
      return whole;
    }
    const of = env[name];
    if (of === undefined) {
      problems.push({ path, at: 'value', message: `the environment variable ${name} is not set` });
      return whole;
    }
    return of;
  });
}

function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path as (string | number)[];
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(path);
    return issue.keys.map((key) => {
      const meant = nearest(key, known);
      const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
      return { path: [...path, key], at: 'key', message: `unknown key${hint} (allowed: ${known.join(', ')})` };
    });
  }
  if (issue.code === 'invalid_key') {
    return [{ path, at: 'key', message: `the name must be ${issue.issues[0]?.message ?? 'another'}` }];
  }
  return [{ path, at: 'value', message: `expected ${expectation(issue)}` }];
}

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return (
        { record: 'a mapping', object: 'a mapping', array: 'a list', string: 'text', int: 'a whole number' }[
          issue.expected as string
        ] ?? String(issue.expected)
      );
    case 'invalid_value':
      return issue.values.length > 1 ? `one of ${issue.values.join(', ')}` : issue.message;
    case 'too_small':
      return issue.origin === 'array'
        ? 'a list with something in it'
        : issue.origin === 'string'
          ? 'text that is not empty'
          : `at least ${issue.minimum}`;
    case 'too_big':
      return `at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}`;
    default:
      return issue.message;
  }
}

/** The keys that the schema allows in the mapping at `path`. */
function keysAt(path: readonly (string | number)[]): string[] {
  let schema: z.core.$ZodType = configSchema;
  const settle = (): void => {
    for (;;) {
      const { innerType } = schema._zod.def as unknown as { innerType?: z.core.$ZodType };
      if (innerType === undefined) return;
      schema = innerType;
    }
  };
  for (const key of path) {
    const def = schema._zod.def as unknown as Record<'element' | 'valueType', z.core.$ZodType> & {
      shape?: Record<string, z.core.$ZodType>;
    };
    schema = def.shape?.[String(key)] ?? def.element ?? def.valueType;
    settle();
  }
  return Object.keys((schema._zod.def as { shape?: object }).shape ?? {});
}
