import type { FunctionFacts } from '../facts.ts';
import { type SqlNode, SqlFault, type Statement, statementsOf } from '../parser.ts';
import { fieldsOf, listIn, type Name, nameIn, nodeIn, textIn, textsIn } from '../tree.ts';
import type { RuleContext } from './rule.ts';

/** Arguments and result of a function, in a form in which two spellings of one type are the same text. */
export interface Signature {
  inputs: readonly { name: string; type: string }[];
  /** '' of a procedure. */
  result: string;
}

const INPUT_MODES = new Set(['FUNC_PARAM_DEFAULT', 'FUNC_PARAM_IN', 'FUNC_PARAM_INOUT', 'FUNC_PARAM_VARIADIC']);
/** `int`, `integer` and `pg_catalog.int4` as `int4`; `text[]` with its dimensions. */
export function typeKey(type: SqlNode): string {
  const name = textsIn(type['names']).at(-1) ?? '';
  const set = type['setof'] === true ? 'setof ' : '';
  return `${set}${name}${listIn(type['arrayBounds']).length > 0 ? '[]' : ''}`;
}

/** The signature that CREATE FUNCTION or CREATE PROCEDURE writes. */
export function writtenSignature({ node }: Statement): Signature {
  const parameters = listIn(node['parameters']).map((item) => fieldsOf(item, 'FunctionParameter') ?? {});
  const returned = nodeIn(node['returnType']);
  return {
    inputs: parameters
      .filter((one) => INPUT_MODES.has(textIn(one['mode'])))
      .map((one) => ({ name: textIn(one['name']), type: typeKey(nodeIn(one['argType'])) })),
    result: returned['names'] === undefined ? '' : typeKey(returned),
  };
}

/** That of a function in the catalog; null where its printed form can't be read back. */
export function storedSignature({ arguments: args, result }: FunctionFacts): Signature | null {
  const returns = result === '' ? '' : ` RETURNS ${result}`;
  const kind = result === '' ? 'PROCEDURE' : 'FUNCTION';
  try {
    const [statement] = statementsOf(`CREATE ${kind} f(${args})${returns} LANGUAGE sql AS ''`);
    return statement === undefined ? null : writtenSignature(statement);
  } catch (error) {
    if (error instanceof SqlFault) return null;
    throw error;
  }
}

export const sameInputs = (a: Signature, b: Signature): boolean =>
  a.inputs.length === b.inputs.length && a.inputs.every(({ type }, at) => type === b.inputs[at]?.type);

/** What CREATE FUNCTION is about: its name, the overload that it replaces, and others of that name. */
export function createdFunction({ statement, schema, facts }: RuleContext): {
  name: Name;
  written: Signature;
  replaces: FunctionFacts | null;
  others: FunctionFacts[];
} | null {
  if (statement.kind !== 'CreateFunctionStmt') return null;
  const name = nameIn(textsIn(statement.node['funcname']), schema);
  const written = writtenSignature(statement);
  const named = facts.functions.filter((one) => one.schema === name.schema && one.name === name.name);
  const replaces =
    named.find((one) => {
      const stored = storedSignature(one);
      return stored !== null && sameInputs(stored, written);
    }) ?? null;
  return { name, written, replaces, others: named.filter((one) => one !== replaces) };
}

/** The overloads that ALTER FUNCTION or DROP FUNCTION names, by `{ objname, objargs }`. */
export function overloadsOf({ schema, facts }: RuleContext, object: SqlNode): FunctionFacts[] {
  const name = nameIn(textsIn(object['objname']), schema);
  const named = facts.functions.filter((one) => one.schema === name.schema && one.name === name.name);
  if (object['args_unspecified'] === true) return named;
  const types = listIn(object['objargs']).map((item) => typeKey(fieldsOf(item, 'TypeName') ?? {}));
  return named.filter((one) => {
    const inputs = storedSignature(one)?.inputs.map(({ type }) => type);
    return inputs === undefined || JSON.stringify(inputs) === JSON.stringify(types);
  });
}

/** The options of CREATE and ALTER FUNCTION by name; of several `SET`, each under `set search_path`. */
export function optionsOf(options: unknown): Map<string, SqlNode> {
  return new Map(
    listIn(options).map((item) => {
      const option = fieldsOf(item, 'DefElem') ?? {};
      const setting = fieldsOf(option['arg'], 'VariableSetStmt');
      return setting === null
        ? [textIn(option['defname']), nodeIn(option['arg'])]
        : [`set ${textIn(setting['name'])}`, setting];
    }),
  );
}
