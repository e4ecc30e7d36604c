/**
 * What the live catalog says of the schema that a plan's statements are about: the port between the pure rules here and
 * the adapter that reads the catalog. Row counts are Postgres's estimates; sizes are in bytes and may be over 2^53 only
 * in theory, so they are numbers. Names are as stored, without quotes.
 */
export interface SchemaFacts {
  /** `server_version_num`: 140023, 180004. */
  serverVersion: number;
  role: RoleFacts;
  /** How much the database may still grow, in bytes; null where nobody has said and it can't be seen. */
  roomBytes: number | null;
  relations: readonly RelationFacts[];
  types: readonly TypeFacts[];
  functions: readonly FunctionFacts[];
  /** Schemas that exist, whether the worker's role may create in them, and how many tables and views they hold. */
  schemas: readonly { name: string; mayCreate: boolean; relations?: number }[];
  /** Statements of clients in pg_stat_statements that name one of the relations; null where it isn't installed. */
  clientStatements: readonly string[] | null;
  /** Sessions whose snapshot is older than a minute, oldest first: CONCURRENTLY waits for them. */
  oldSnapshots: readonly { pid: string; application: string; ageSeconds: number }[];
  /** Extensions that are installed, with their versions. */
  extensions?: readonly { name: string; version: string }[];
}
export interface RoleFacts {
  name: string;
  superuser: boolean;
  /** May read all rows where row security is on: owner without FORCE, BYPASSRLS or superuser. */
  bypassesRowSecurity: boolean;
  mayCreateInDatabase: boolean;
}

export type RelationKind = 'table' | 'partitioned' | 'view' | 'materialized view' | 'foreign' | 'index' | 'sequence';
export interface RelationFacts {
  schema: string;
  name: string;
  kind: RelationKind;
  /** Whether it is UNLOGGED, and the tablespace that it is in; left out where nobody has looked. */
  unlogged?: boolean;
  tablespace?: string;
  /** Made by an earlier statement of the same plan: nobody uses it yet. */
  fresh: boolean;
  /** Estimated rows, partitions included; null where the table was never analyzed. */
  rows: number | null;
  /** Heap and TOAST with all partitions, in bytes; 0 says that it never held a row, or was truncated. */
  heapBytes: number;
  indexBytes: number;
  /** Whether the worker's role owns it (or is a member of its owner): ALTER and DROP need that. */
  owned: boolean;
  /** What the worker's role may do with the rows; absent for what the plan itself makes: all of it. */
  may?: { select: boolean; update: boolean } | null;
  rowSecurity: { enabled: boolean; forced: boolean };
  /** Publications that it is in, and subscriptions that write it. */
  replicatedBy: readonly string[];
  columns: readonly ColumnFacts[];
  constraints: readonly ConstraintFacts[];
  indexes: readonly IndexFacts[];
  triggers: readonly { name: string; definition: string; enabled: boolean }[];
  /** Partitions and heirs of every level, parents before their children; `default`: the partition for all other rows. */
  partitions: readonly {
    schema: string;
    name: string;
    parent: { schema: string; name: string };
    leaf: boolean;
    default?: boolean;
  }[];
  /** What it is a partition or an heir of. */
  parents: readonly { schema: string; name: string }[];
  /** Views and materialized views that read it. */
  readBy: readonly { schema: string; name: string; kind: 'view' | 'materialized view'; columns: readonly string[] }[];
  /** Foreign keys of other tables that point at it. */
  referencedBy: readonly { schema: string; table: string; constraint: string; columns: readonly string[] }[];
  /** For an index: its table. Otherwise null. */
  of: { schema: string; name: string } | null;
  /** How it is kept and who may use it; absent for what the plan itself makes. */
  standing?: StandingFacts;
}
/** How a relation is kept and who may use it. */
export interface StandingFacts {
  owner: string;
  policies: readonly { name: string; command: string; permissive: boolean }[];
  /** What others than the owner may do with it, columns' grants included; PUBLIC in capitals. */
  grants: readonly { grantee: string; privilege: string }[];
  persistence: 'permanent' | 'unlogged' | 'temporary';
  /** `fillfactor=70`, `autovacuum_enabled=false`. */
  options: readonly string[];
  replicaIdentity: 'default' | 'nothing' | 'full' | 'index';
  /** Of a partition, as `pg_get_expr` prints it: `DEFAULT`, `FOR VALUES IN (1)`. Otherwise null. */
  bound: string | null;
  /** Of a partitioned table, as `pg_get_partkeydef` prints it: `RANGE (at)`. Otherwise null. */
  partitionKey: string | null;
  sequence: SequenceFacts | null;
}
/** A sequence; its numbers can be over 2^53, so they are texts. */
export interface SequenceFacts {
  type: 'smallint' | 'integer' | 'bigint';
  /** The last value given out; null where none was, or it may not be read. */
  last: string | null;
  minimum: string;
  maximum: string;
  increment: string;
  cycles: boolean;
  /** Columns that it feeds: their default names it, they own it, or they are identity columns. */
  feeds: readonly { schema: string; table: string; column: string; identity: boolean }[];
}
export interface ColumnFacts {
  name: string;
  /** As `format_type` prints it: `character varying(20)`, `numeric(10,2)`. */
  type: string;
  notNull: boolean;
  default: string | null;
  generated: boolean;
  identity: boolean;
  collation: string | null;
  /** Share of NULLs by the statistics, 0 … 1; null where there are none. */
  nullShare: number | null;
  /** Average width in bytes by the statistics; null where there are none. */
  widthBytes: number | null;
}
export interface ConstraintFacts {
  name: string;
  kind: 'primary' | 'unique' | 'check' | 'foreign' | 'exclusion' | 'not null';
  columns: readonly string[];
  validated: boolean;
  deferrable: boolean;
  /** As `pg_get_constraintdef` prints it. */
  definition: string;
  references: { schema: string; name: string; columns: readonly string[] } | null;
}
export interface IndexFacts {
  name: string;
  /** Key columns in order; null for an expression. */
  columns: readonly (string | null)[];
  unique: boolean;
  valid: boolean;
  partial: boolean;
  /** The constraint that it serves. */
  constraint: string | null;
  method: string;
  /** As `pg_get_indexdef` prints it. */
  definition: string;
  bytes: number;
}
export interface TypeFacts {
  schema: string;
  name: string;
  kind: 'enum' | 'domain' | 'composite' | 'range' | 'base';
  /** Of a domain: what it is of, as `format_type` prints it, and whether its values are checked. */
  domain?: { base: string; constrained: boolean } | null;
  labels: readonly string[];
  owned: boolean;
  /** Columns of that type: what a change of the type reaches. */
  usedBy: readonly { schema: string; table: string; column: string }[];
}
export interface FunctionFacts {
  schema: string;
  name: string;
  /** As `pg_get_function_identity_arguments` prints it. */
  arguments: string;
  result: string;
  volatility: 'immutable' | 'stable' | 'volatile';
  securityDefiner: boolean;
  /** Whether its settings fix the search_path. */
  fixedSearchPath: boolean;
  language: string;
  owned: boolean;
  /** What calls it, by the catalog: bodies of other functions don't show. */
  usedBy?: readonly FunctionUse[];
}
export interface FunctionUse {
  kind: 'trigger' | 'index' | 'constraint' | 'default' | 'generated column' | 'view' | 'policy';
  schema: string;
  /** The table, or the view itself. */
  relation: string;
  /** Of the trigger, index, constraint, column or policy; of a view its own. */
  name: string;
}

/** The relation of that name, or undefined where the catalog has none. */
export const relationOf = (facts: SchemaFacts, schema: string, name: string): RelationFacts | undefined =>
  facts.relations.find((relation) => relation.schema === schema && relation.name === name);
