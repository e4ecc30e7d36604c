import type { ErrorCode } from '../messages/index.ts';

/** The way to a value in a plan, key by key: `['spec', 'phases', 0, 'name']`. */
export type Path = readonly (string | number)[];

/** Something wrong with a plan, before it is known where in the text that is. */
export interface Finding {
  code: Extract<ErrorCode, 'PlanInvalid' | 'Unsupported'>;
  path: Path;
  /** Whether the key or the value (the default) is wrong. */
  at?: 'key' | 'value';
  /** Where in the value the problem is, in UTF-16 units from its start; for SQL. */
  offset?: number;
  message: string;
  found?: string;
  allowed?: string;
  didYouMean?: string;
}

/** A path as people write it: `spec.phases[0].steps[1].uses`, `spec.flags["a.b"]`. */
export function pathText(path: Path): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(key)) text += text === '' ? key : `.${key}`;
    else text += `[${JSON.stringify(key)}]`;
  }
  return text;
}

export const invalid = (
  path: Path,
  message: string,
  more: Omit<Partial<Finding>, 'path' | 'message'> = {},
): Finding => ({
  code: 'PlanInvalid',
  path,
  message,
  ...more,
});
