import type { Document, LineCounter, Node, Pair, YAMLMap } from 'yaml';
import { isAlias, isMap, isPair, isScalar, isSeq } from 'yaml';
import type { Path } from '../finding.ts';
import { offsetInScalar } from './scalar-offset.ts';

/** A place in a plan's text, counted from 1. `exact` is false where only the start of the value is known. */
export interface Place {
  line: number;
  column: number;
  exact: boolean;
  /** Where in the value it is (`line 2, column 7 of the text`), for a place that isn't exact. */
  inside: string;
}

/** The text that a plan came from: tells where a value of it stands. */
export interface Source {
  locate(path: Path, at: 'key' | 'value', offset: number | null): Place | null;
  /** How a scalar is written there (`1.10`, where the number is 1.1). */
  scalarText(path: Path): string | null;
}

/** For values that have no text, or whose text can't be read. */
export const NO_SOURCE: Source = { locate: () => null, scalarText: () => null };

/** A source that is made only when someone asks for a place; for values, whose text exists for messages only. */
export const lazySource = (make: () => Source): Source => {
  let source: Source | undefined;
  const get = (): Source => (source ??= make());
  return {
    locate: (path, at, offset) => get().locate(path, at, offset),
    scalarText: (path) => get().scalarText(path),
  };
};

interface Spot {
  /** The node at the path; undefined where the path ends before. */
  node: Node | undefined;
  /** The key of the last pair on the way. */
  key: Node | undefined;
  /** The last node that exists on the way. */
  last: Node | null;
}

/** Tells places in a parsed YAML (or JSON) document. */
export class YamlSource implements Source {
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #text: string;
  readonly #pairs = new WeakMap<YAMLMap, Map<string | null, Pair>>();

  constructor(document: Document.Parsed, lines: LineCounter, text: string) {
    this.#document = document;
    this.#lines = lines;
    this.#text = text;
  }

  locate(path: Path, at: 'key' | 'value', offset: number | null): Place {
    const spot = this.#spot(path);
    if (at === 'key' && spot.key !== undefined) return this.#place(startOf(spot.key), null);
    const target = spot.node ?? spot.last;
    if (target === null) return this.#place(0, null);
    // An empty value has its place after the colon, often on a later line: its key says more.
    const start = isEmpty(target) && spot.key !== undefined ? startOf(spot.key) : startOf(target);
    if (offset === null || spot.node === undefined || !isScalar(target)) return this.#place(start, null);
    const exact = offsetInScalar(this.#text, target, offset);
    return exact === null ? this.#place(start, insideText(String(target.value), offset)) : this.#place(exact, null);
  }

  scalarText(path: Path): string | null {
    const { node } = this.#spot(path);
    return isScalar(node) && typeof node.source === 'string' ? node.source : null;
  }

  #place(offset: number, inside: string | null): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1), exact: inside === null, inside: inside ?? '' };
  }

  #spot(path: Path): Spot {
    let node = this.#resolve(this.#document.contents);
    let key: Node | undefined;
    let last: Node | null = node ?? null;
    for (const step of path) {
      const next: { node: Node | undefined; key: Node | undefined } = this.#child(node, step);
      if (next.node === undefined && next.key === undefined) return { node: undefined, key: undefined, last };
      key = next.key ?? key;
      node = next.node;
      last = node ?? last;
    }
    return { node, key, last };
  }

  #child(node: Node | undefined, step: string | number): { node: Node | undefined; key: Node | undefined } {
    if (isSeq(node)) return { node: this.#resolve(node.items[Number(step)]), key: undefined };
    if (!isMap(node)) return { node: undefined, key: undefined };
    const pair = this.#pairsOf(node).get(String(step));
    return pair === undefined
      ? { node: undefined, key: undefined }
      : { node: this.#resolve(pair.value), key: pair.key as Node };
  }

  #pairsOf(map: YAMLMap): Map<string | null, Pair> {
    const known = this.#pairs.get(map);
    if (known !== undefined) return known;
    const pairs = new Map(map.items.map((item) => [keyText(item.key), item]));
    this.#pairs.set(map, pairs);
    return pairs;
  }

  #resolve(node: unknown): Node | undefined {
    if (isAlias(node)) return node.resolve(this.#document) ?? node;
    return node === null || node === undefined || isPair(node) ? undefined : (node as Node);
  }
}

/** A mapping's key as JSON has it: text, whatever YAML made of it. */
export function keyText(key: unknown): string | null {
  if (key === null) return '';
  if (!isScalar(key)) return null;
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
}

const startOf = (node: Node): number => node.range?.[0] ?? 0;
const isEmpty = (node: Node): boolean => isScalar(node) && node.value === null && (node.source ?? '') === '';

function insideText(value: string, offset: number): string {
  const before = value.slice(0, offset).split('\n');
  return `line ${before.length}, column ${(before.at(-1) ?? '').length + 1} of the text`;
}
