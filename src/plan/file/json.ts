import { createHash } from 'node:crypto';
import type { Path } from '../finding.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Bounds of what a plan may hold, whatever its keys mean. */
export const PLAN_DEPTH_MAX = 64;
export const PLAN_VALUES_MAX = 100_000;
export const TOO_DEEP = `nested deeper than ${PLAN_DEPTH_MAX} levels, or in a circle`;

/** Why a text can't be in a plan, or null. Postgres has no NUL in text; RFC 8785 wants well-formed Unicode. */
export function textFault(text: string): string | null {
  if (text.includes('\0')) return "text must not contain NUL (U+0000): Postgres can't store it";
  if (!text.isWellFormed()) return 'text must be well-formed Unicode: there is half a surrogate pair';
  return null;
}

/** The key that no plan may have: JavaScript gives it a meaning of its own. */
export const RESERVED_KEY = '__proto__';

/** Looks for what JSON can't say (a key whose value is undefined counts as left out): functions, NaN, bigint, circles, too deep, too many. Null when all is well. */
export function jsonFault(value: unknown): { path: Path; message: string } | null {
  let budget = PLAN_VALUES_MAX;
  const walk = (item: unknown, path: Path): { path: Path; message: string } | null => {
    if (path.length > PLAN_DEPTH_MAX) return { path: path.slice(0, 8), message: TOO_DEEP };
    if (--budget < 0) return { path: [], message: `more than ${PLAN_VALUES_MAX} values` };
    if (item === null || typeof item === 'boolean') return null;
    if (typeof item === 'string') {
      const message = textFault(item);
      return message === null ? null : { path, message };
    }
    if (typeof item === 'number') {
      return Number.isFinite(item) ? null : { path, message: `${item} is not a number that JSON can hold` };
    }
    if (item === undefined) return { path, message: 'undefined is not JSON' };
    if (typeof item !== 'object') return { path, message: `a ${typeof item} is not JSON` };
    if (Array.isArray(item)) {
      for (let i = 0; i < item.length; i++) {
        const fault = walk(item[i], [...path, i]);
        if (fault !== null) return fault;
      }
      return null;
    }
    const prototype: unknown = Object.getPrototypeOf(item);
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      return { path, message: `a ${item.constructor?.name ?? 'class instance'} is not JSON` };
    }
    for (const [key, child] of Object.entries(item)) {
      if (key === RESERVED_KEY) return { path, message: `"${RESERVED_KEY}" can't be a key` };
      const message = textFault(key);
      if (message !== null) return { path, message: `a key's ${message}` };
      if (child === undefined) continue;
      const fault = walk(child, [...path, key]);
      if (fault !== null) return fault;
    }
    return null;
  };
  return walk(value, []);
}

/**
 * JSON in the canonical form of RFC 8785 (JCS): keys in the order of their UTF-16 units, no spaces, numbers and text as
 * ECMAScript writes them. Numbers are IEEE doubles: 1.0 and 1 are the same, as are -0 and 0.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, child]) => child !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, child]) => `${JSON.stringify(key)}:${canonicalJson(child)}`);
    return `{${members.join(',')}}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} has no canonical JSON`);
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`a ${typeof value} has no canonical JSON`);
  return text;
}

/** The plan's identity: sha256, in hex, of the canonical JSON of the plan as it was given, before defaults. */
export const digestOf = (given: unknown): string =>
  createHash('sha256').update(canonicalJson(given), 'utf8').digest('hex');
