import type { Rule } from './rule.ts';

/** Every rule, by topic. Codes are stable: plans name them in `allow`. */
export const RULES: readonly Rule[] = [];

const BY_CODE: ReadonlyMap<string, Rule> = new Map(RULES.map((rule) => [rule.code, rule]));

export const ruleOf = (code: string): Rule | undefined => BY_CODE.get(code);
