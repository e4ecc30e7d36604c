import { relationOf, type SchemaFacts } from './facts.ts';
import { MadeNames, partName } from './made-names.ts';
import type { Statement } from './parser.ts';
import {
  type AlterCommand,
  alterCommands,
  constraintClause,
  fieldsOf,
  listIn,
  droppedObjects,
  nameIn,
  objectType,
  relationIn,
  textIn,
  textsIn,
} from './tree.ts';
import { unseen } from './unseen.ts';

/** How a statement of a `ddl` step is taken back where the step has no `down`: foretold, before anything runs. */
export interface Reversal {
  /** What the rollback does, in words. */
  by: string;
  /** Why it can't, so that the step needs a `down`; null where it can. */
  needsDown: string | null;
}

/**
 * Foretells the rollback of each statement of a step. `facts` are those before the step; without them only what is
 * certain from the text is said to need a `down`. Pure.
 */
export function reversals(statements: readonly Statement[], schema: string, facts: SchemaFacts | null): Reversal[] {
  const made = new MadeNames();
  return statements.map((statement) => {
    const reversal = reversalOf({ statement, schema, facts, made });
    made.add(statement, schema);
    return reversal;
  });
}

interface Context {
  statement: Statement;
  schema: string;
  facts: SchemaFacts | null;
  /** What earlier statements of the step make. */
  made: MadeNames;
}
type Way = (context: Context) => Reversal;

const by = (words: string): Reversal => ({ by: words, needsDown: null });
const needs = (why: string): Reversal => ({ by: '', needsDown: why });
const withStep = by('it goes with what the step made');
const drops =
  (what: string): Way =>
  ({ statement: { node } }) =>
    node['if_not_exists'] === true ? by(`drops the ${what}, if it wasn't there before`) : by(`drops the ${what}`);

function reversalOf(context: Context): Reversal {
  const { statement } = context;
  const hidden = unseen(statement);
  if (hidden !== null) return needs(hidden);
  return (WAYS[statement.kind] ?? (() => by('sets what was changed as it was')))(context);
}

const madeType = ({ statement: { node }, schema, made }: Context): boolean => {
  const { schema: of, name } = nameIn(textsIn(node['typeName']), schema);
  return made.has('type', of, name);
};

const addedLabel: Way = (context) => {
  const { node } = context.statement;
  if (node['oldVal'] !== undefined) return by('gives the label its name back');
  if (madeType(context)) return withStep;
  const { schema, name } = nameIn(textsIn(node['typeName']), context.schema);
  const type = context.facts?.types.find((one) => one.schema === schema && one.name === name);
  const isThere = type?.labels.includes(textIn(node['newVal'])) === true;
  if (node['skipIfNewValExists'] === true && (isThere || context.facts === null))
    return by('nothing, where the label was there before');
  return needs('a label of an enum can’t be dropped');
};

/** What is made again from its definition after a DROP. */
const REMADE: Record<string, string> = {
  OBJECT_INDEX: 'builds the index again, concurrently',
  OBJECT_VIEW: 'makes the view again',
  OBJECT_FUNCTION: 'makes the function again',
  OBJECT_PROCEDURE: 'makes the procedure again',
  OBJECT_ROUTINE: 'makes the routine again',
  OBJECT_TRIGGER: 'makes the trigger again',
  OBJECT_POLICY: 'makes the policy again',
  OBJECT_RULE: 'makes the rule again',
  OBJECT_STATISTIC_EXT: 'makes the statistics again',
};
const dropped: Way = ({ statement, schema, made }) => {
  const type = objectType(statement);
  const kind =
    type === 'OBJECT_TYPE' || type === 'OBJECT_DOMAIN'
      ? 'type'
      : type === 'OBJECT_EXTENSION'
        ? 'extension'
        : 'relation';
  const all =
    kind === 'extension'
      ? listIn(statement.node['objects']).map((item) => nameIn([textIn(fieldsOf(item, 'String')?.['sval'])], ''))
      : droppedObjects(statement).map((texts) => nameIn(texts, schema));
  if (all.length > 0 && all.every(({ schema: of, name }) => made.has(kind, of, name))) return withStep;
  const words = REMADE[type];
  if (words !== undefined) return by(words);
  if (statement.node['missing_ok'] === true) return by('nothing, where it wasn’t there');
  return needs('what is dropped can’t be made again from its definition alone');
};

const renamed: Way = ({ statement: { node }, schema, made }) => {
  if (node['renameType'] !== 'OBJECT_ATTRIBUTE') return by('gives it its name back');
  const { schema: of, name } = relationIn(node['relation'], schema);
  return made.has('type', of, name) ? withStep : needs('an attribute of a type isn’t renamed back');
};

const view: Way = ({ statement: { node }, schema, facts }) => {
  if (node['replace'] !== true) return by('drops the view');
  const { schema: of, name } = relationIn(node['view'], schema);
  const isThere = facts !== null && relationOf(facts, of, name) !== undefined;
  return by(isThere ? 'gives the view its former query' : 'drops the view, or gives it its former query');
};

const altered: Way = (context) => {
  const found = alterCommands(context.statement).map((command) => commandReversal(command, context));
  const bad = found.find(({ needsDown }) => needsDown !== null);
  return bad ?? by([...new Set(found.map((one) => one.by))].join('; '));
};

const WAYS: Record<string, Way> = {
  AlterEnumStmt: addedLabel,
  AlterExtensionStmt: () => needs('an extension can’t go back to its former version'),
  AlterObjectSchemaStmt: () => by('moves it back into its schema'),
  AlterSeqStmt: () => by('sets its options as they were; its position stays'),
  AlterTableStmt: altered,
  CommentStmt: () => by('sets the former comment'),
  CompositeTypeStmt: drops('type'),
  CreateDomainStmt: drops('domain'),
  CreateEnumStmt: drops('type'),
  CreateExtensionStmt: drops('extension'),
  CreateForeignTableStmt: drops('foreign table'),
  CreateFunctionStmt: ({ statement: { node } }) =>
    by(node['replace'] === true ? 'drops the function, or makes the former one again' : 'drops the function'),
  CreatePolicyStmt: drops('policy'),
  CreateRangeStmt: drops('type'),
  CreateSchemaStmt: drops('schema'),
  CreateSeqStmt: drops('sequence'),
  CreateStatsStmt: drops('statistics'),
  CreateStmt: drops('table; its rows are kept in switchback.rescued'),
  CreateTableAsStmt: drops('table; its rows are kept in switchback.rescued'),
  CreateTrigStmt: drops('trigger'),
  DefineStmt: drops('object'),
  DropStmt: dropped,
  GrantStmt: () => by('sets the former grants'),
  IndexStmt: drops('index, concurrently where the table is large'),
  RefreshMatViewStmt: () => by('nothing: the catalog stays as it is'),
  RenameStmt: renamed,
  RuleStmt: drops('rule'),
  ViewStmt: view,
};

/** What of ALTER TABLE has no way back; all others are set as they were. */
const NO_WAY_BACK: Record<string, string> = {
  AT_AlterColumnType: 'the values are not turned back into the former type',
  AT_DropExpression: 'a column doesn’t become a generated one again',
  AT_SetExpression: 'the former values are not computed again',
  AT_DropIdentity: 'the identity’s sequence goes with its position',
  AT_DetachPartition: 'a table is not attached again without looking at its rows',
  AT_DropInherit: 'the table does not become an heir again',
  AT_SetAccessMethod: 'the table is not rewritten again',
  AT_SetTableSpace: 'the table is not moved again',
  AT_AddOf: 'the table does not lose its type again',
  AT_DropOf: 'the table does not get its type again',
  AT_GenericOptions: 'options of a foreign table are not set back',
  AT_DropColumn: 'it loses data',
};
const WORDS: Record<string, string> = {
  AT_AddColumn: 'drops the column; values that follow from nothing else are kept in switchback.rescued',
  AT_AddConstraint: 'drops the constraint',
  AT_AddInherit: 'takes the table off its parent',
  AT_AttachPartition: 'detaches the partition',
  AT_ColumnDefault: 'sets the former default',
  AT_DropConstraint: 'adds the constraint again, checked apart from its lock',
  AT_DropNotNull: 'sets NOT NULL again, through a checked constraint',
  AT_SetNotNull: 'drops NOT NULL',
  AT_ValidateConstraint: 'makes the constraint NOT VALID again',
};

function commandReversal(command: AlterCommand, { statement, schema, made }: Context): Reversal {
  const { subtype, name, kind, def } = command;
  const { node } = statement;
  const relation = relationIn(node['relation'], schema);
  const isMade = (part: string): boolean =>
    made.has('relation', relation.schema, relation.name) ||
    made.has('type', relation.schema, relation.name) ||
    made.has('part', relation.schema, partName(relation.name, part));
  if (node['objtype'] === 'OBJECT_TYPE')
    return subtype === 'AT_AddColumn' ? by('drops the attribute') : needs('an attribute of a type isn’t set back');
  const why = NO_WAY_BACK[subtype];
  if (why !== undefined) return isMade(name) ? withStep : needs(why);
  const index = kind === 'Constraint' ? (constraintClause(def, schema)?.usingIndex ?? null) : null;
  if (index !== null && !made.has('relation', relation.schema, index))
    return needs(`index "${index}" was there before the step, and becomes the constraint's for good`);
  return by(WORDS[subtype] ?? 'sets what was changed as it was');
}
