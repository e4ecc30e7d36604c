import { ADD_COLUMN_RULES } from './add-column.ts';
import { COLUMN_RULES } from './columns.ts';
import { CONSTRAINT_RULES } from './constraints.ts';
import { FOREIGN_KEY_RULES } from './foreign-keys.ts';
import { TYPE_CHANGE_RULES } from './type-changes.ts';
import { COLUMN_TYPE_RULES } from './column-types.ts';
import { TABLE_RULES } from './tables.ts';
import { PRIVILEGE_RULES } from './privileges.ts';
import { REPLICATION_RULES } from './replication.ts';
import { REPETITION_RULES } from './repetition.ts';
import { INDEX_RULES } from './indexes.ts';
import { PARTITION_RULES } from './partitions.ts';
import { TYPE_RULES } from './types.ts';
import { VIEW_RULES } from './views.ts';
import { FUNCTION_RULES } from './functions.ts';
import { TRIGGER_RULES } from './triggers.ts';
import { SECURITY_RULES } from './security.ts';
import { SEQUENCE_RULES } from './sequences.ts';
import { STORAGE_RULES } from './storage.ts';
import { STATEMENT_RULES } from './statements.ts';
import { DISK_RULES } from './disk.ts';
import type { Rule } from './rule.ts';

/** Every rule, by topic. Codes are stable: plans name them in `allow`. */
export const RULES: readonly Rule[] = [
  ...ADD_COLUMN_RULES,
  ...COLUMN_RULES,
  ...CONSTRAINT_RULES,
  ...FOREIGN_KEY_RULES,
  ...TYPE_CHANGE_RULES,
  ...COLUMN_TYPE_RULES,
  ...TABLE_RULES,
  ...PRIVILEGE_RULES,
  ...REPLICATION_RULES,
  ...REPETITION_RULES,
  ...INDEX_RULES,
  ...PARTITION_RULES,
  ...TYPE_RULES,
  ...VIEW_RULES,
  ...FUNCTION_RULES,
  ...TRIGGER_RULES,
  ...SECURITY_RULES,
  ...SEQUENCE_RULES,
  ...STORAGE_RULES,
  ...STATEMENT_RULES,
  ...DISK_RULES,
];

const BY_CODE: ReadonlyMap<string, Rule> = new Map(RULES.map((rule) => [rule.code, rule]));

export const ruleOf = (code: string): Rule | undefined => BY_CODE.get(code);
