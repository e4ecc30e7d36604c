import type { Path } from '../finding.ts';
import { planSchema } from '../plan.ts';

/** The part of a zod schema that says how it is built; as much of it as is read here. */
interface Definition {
  type: string;
  shape?: Record<string, Schema>;
  element?: Schema;
  valueType?: Schema;
  innerType?: Schema;
  options?: Schema[];
  discriminator?: string;
}
interface Schema {
  _zod: { def: Definition };
}

const unwrap = (schema: Schema): Schema => {
  const { innerType } = schema._zod.def;
  return innerType === undefined ? schema : unwrap(innerType);
};

/** Of several schemas the one that was probably meant: the one with the most of the given keys. */
function chosen(options: readonly Schema[], discriminator: string | undefined, value: unknown): Schema | undefined {
  const given = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  if (discriminator !== undefined) {
    return options.find((option) => {
      const kind = unwrap(option)._zod.def.shape?.[discriminator]?._zod.def as { values?: unknown[] } | undefined;
      return kind?.values?.includes(given[discriminator]) === true;
    });
  }
  const fit = (option: Schema): number =>
    Object.keys(given).filter((key) => Object.hasOwn(unwrap(option)._zod.def.shape ?? {}, key)).length;
  return options.filter((option) => unwrap(option)._zod.def.type === 'object').toSorted((a, b) => fit(b) - fit(a))[0];
}

/** The keys that the plan format knows for the mapping at `path` of the plan `given`. */
export function knownKeys(given: unknown, path: Path): string[] {
  let schema: Schema | undefined = unwrap(planSchema as unknown as Schema);
  let value = given;
  const settle = (): void => {
    while (schema?._zod.def.type === 'union') {
      const next: Schema | undefined = chosen(schema._zod.def.options ?? [], schema._zod.def.discriminator, value);
      schema = next === undefined ? undefined : unwrap(next);
    }
  };
  settle();
  for (const key of path) {
    if (schema === undefined) return [];
    const def: Definition = schema._zod.def;
    const next: Schema | undefined =
      def.type === 'object' ? def.shape?.[String(key)] : def.type === 'array' ? def.element : def.valueType;
    if (next === undefined) return [];
    value = (value as Record<string | number, unknown> | null | undefined)?.[key];
    schema = unwrap(next);
    settle();
  }
  return Object.keys(schema?._zod.def.shape ?? {});
}
