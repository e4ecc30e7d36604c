import { QuoteUtils } from 'pgsql-deparser';
import { deparse } from '../deparse.ts';
import type { SqlNode } from '../parser.ts';
import { fieldsOf, listIn } from '../tree.ts';
import type { AlteredTable } from './altered-table.ts';
import { rangeVar, stringNode, text } from './tree.ts';
import { type SafeUnit, unitsOf } from './unit.ts';

const INTEGERS: Readonly<Record<string, string>> = {
  smallserial: 'int2',
  serial2: 'int2',
  serial: 'int4',
  serial4: 'int4',
  bigserial: 'int8',
  serial8: 'int8',
};

export interface SerialDefault {
  /** Makes the sequence. */
  before: SafeUnit[];
  /** The column's default. */
  value: SqlNode;
  /** Gives the sequence to the column. */
  after: SafeUnit[];
}

/** What `serial` stands for: a sequence, a default that takes from it, and NOT NULL. Null where the column isn't one. */
export function serialDefault(column: SqlNode, table: AlteredTable): SerialDefault | null {
  const integer = integerOf(column);
  const name = text(column['colname']);
  if (integer === null || name === null || !ownsAlike(table)) return null;
  const { schema, name: relation } = table.relation;
  const sequence = { schema, name: table.taken.sequence({ schema, table: relation, columns: [name] }) };
  const before = unitsOf(
    deparse({
      kind: 'CreateSeqStmt',
      node: { sequence: rangeVar(sequence), options: [option('as', { TypeName: typeName(integer) })] },
    }),
  );
  const owner = { List: { items: [schema, relation, name].map(stringNode) } };
  const after = unitsOf(
    deparse({ kind: 'AlterSeqStmt', node: { sequence: rangeVar(sequence), options: [option('owned_by', owner)] } }),
  );
  if (before === null || after === null) return null;
  return { before, value: nextOf(sequence), after };
}

/** A sequence belongs to whoever makes it, and a column takes only one of its table's own owner, kept alike. */
const ownsAlike = ({ relation: { standing }, facts }: AlteredTable): boolean =>
  standing === undefined || (standing.owner === facts.role.name && standing.persistence === 'permanent');

/** The column with the integer type that `serial` stands for. */
export function withoutSerial(column: SqlNode): SqlNode {
  const integer = integerOf(column);
  return integer === null ? column : { ...column, typeName: typeName(integer) };
}

function integerOf(column: SqlNode): string | null {
  const names = listIn((column['typeName'] as SqlNode | undefined)?.['names']);
  const name = text(fieldsOf(names.at(-1), 'String')?.['sval']);
  return names.length === 1 && name !== null ? (INTEGERS[name] ?? null) : null;
}

const typeName = (name: string): SqlNode => ({ names: [stringNode('pg_catalog'), stringNode(name)], typemod: -1 });
const option = (defname: string, arg: SqlNode): SqlNode => ({ DefElem: { defname, arg, defaction: 'DEFELEM_UNSPEC' } });

function nextOf({ schema, name }: { schema: string; name: string }): SqlNode {
  const path = [schema, name].map((part) => QuoteUtils.quoteIdentifier(part)).join('.');
  const regclass = { names: [stringNode('regclass')], typemod: -1 };
  return {
    FuncCall: {
      funcname: [stringNode('nextval')],
      args: [{ TypeCast: { arg: { A_Const: { sval: { sval: path } } }, typeName: regclass } }],
      funcformat: 'COERCE_EXPLICIT_CALL',
    },
  };
}
