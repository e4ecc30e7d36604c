import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { SwitchbackError } from '../../messages/index.ts';
import type { Condition } from '../../plan/index.ts';
import { type ConditionReading, compare, hasBounds, noValue, type Scalar } from './bounds.ts';
import { addressOf, get } from './http-request.ts';
import { atPointer } from './json-pointer.ts';

type HttpSource = NonNullable<Condition['http']>;

/** A GET request: its status, its body against a JSON Schema (2020-12), and the value at `path` against the bounds. */
export async function readHttp(source: HttpSource, signal: AbortSignal): Promise<ConditionReading> {
  const validate = source.schema === undefined ? null : compile(source.schema);
  const address = addressOf(source.url);
  const { status, text } = await get(source.url, signal);
  if (status !== source.status) return noValue(`${address} answers ${status}, not ${source.status}`);
  if (validate === null && !hasBounds(source) && source.path === undefined) {
    return { holds: true, observed: null, reason: `${address} answers ${status}` };
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return noValue(`${address} answers ${status}, but its body isn't JSON`);
  }
  if (validate !== null && !validate(body)) return noValue(`${address}: ${whyInvalid(validate)}`);
  if (source.path === undefined && !hasBounds(source)) {
    return { holds: true, observed: null, reason: `${address} answers ${status} and its body matches the schema` };
  }
  return readValue(source, address, body);
}

function readValue(source: HttpSource, address: string, body: unknown): ConditionReading {
  const found = source.path === undefined ? { value: body } : atPointer(body, source.path);
  const where = source.path === undefined ? 'the body' : `the value at ${source.path}`;
  if (found === null) return noValue(`${address}: there is nothing at ${source.path}`);
  if (typeof found.value === 'object' && found.value !== null)
    return noValue(`${address}: ${where} isn't a single value`);
  const value = found.value as Scalar;
  const reading = compare(value, hasBounds(source) ? source : { equals: true });
  return { ...reading, reason: `${where} is ${reading.reason}` };
}

/** Compiled schemas, by their text: a guard is read every two seconds. */
const compiled = new Map<string, ValidateFunction>();
const COMPILED_MAX = 200;

function compile(schema: Record<string, unknown>): ValidateFunction {
  const key = JSON.stringify(schema);
  const known = compiled.get(key);
  if (known !== undefined) return known;
  try {
    // `format` is an annotation in JSON Schema 2020-12; unknown keywords are ignored, as the specification says.
    const validate = new Ajv2020({ strict: false, validateFormats: false, allErrors: false }).compile(schema);
    if (compiled.size >= COMPILED_MAX) compiled.clear();
    compiled.set(key, validate);
    return validate;
  } catch (error) {
    throw new SwitchbackError(
      'PlanInvalid',
      `the JSON Schema of an http condition is wrong: ${(error as Error).message}`,
      {
        hint: 'correct `schema` in the plan; JSON Schema 2020-12 is what is understood',
        cause: error,
      },
    );
  }
}

/** Says where and which keyword; a value from the body is never in it. */
function whyInvalid(validate: ValidateFunction): string {
  const [error] = validate.errors ?? [];
  const where = error?.instancePath === '' || error === undefined ? 'the body' : error.instancePath;
  return `${where} ${error?.message ?? "doesn't match the schema"}`;
}
