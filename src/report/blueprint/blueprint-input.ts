import type { LiveCheck } from '../../messages/index.ts';
import type { Gate, Plan, Risk } from '../../plan/index.ts';

/** What a blueprint is drawn from: the checked plan, and what the live databases say of it where they were asked. */
export interface BlueprintInput {
  plan: Plan;
  digest: string;
  gates: readonly Gate[];
  /** Of each phase, as the plan says or raised by the engine. */
  risks: Readonly<Record<string, Risk>>;
  /** The tables that each step touches, by step. */
  tables: ReadonlyMap<string, readonly StepTable[]>;
  live: LiveCheck | { skipped: string };
}
export interface StepTable {
  database: string;
  schema: string;
  table: string;
}

/** `users`, or `billing.users` outside of `public`. */
export const tableName = ({ schema, table }: Pick<StepTable, 'schema' | 'table'>): string =>
  schema === 'public' ? table : `${schema}.${table}`;
