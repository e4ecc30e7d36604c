import type { Alias, Document, Node, Scalar, YAMLError, YAMLWarning } from 'yaml';
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import { type Finding, invalid, type Path } from '../finding.ts';
import { PLAN_BYTES_MAX } from '../plan.ts';
import { type Json, PLAN_DEPTH_MAX, PLAN_VALUES_MAX, RESERVED_KEY, TOO_DEEP, textFault } from './json.ts';
import { inOrder, type PlanProblem, problemsOf } from './problem.ts';
import { keyText, type Source, YamlSource } from './source.ts';

export type TextReading = { ok: true; given: Json; source: Source } | { ok: false; problems: PlanProblem[] };

/** Reads YAML 1.2 (core schema, so that dates stay text) or JSON. Never throws, whatever the text. */
export function readText(input: string | Uint8Array, { bytesMax = PLAN_BYTES_MAX } = {}): TextReading {
  const bytes = typeof input === 'string' ? Buffer.byteLength(input) : input.byteLength;
  if (bytes > bytesMax) {
    return failed(`the plan has ${bytes} bytes, which is more than ${PLAN_BYTES_MAX} (512 KiB)`);
  }
  const text = decode(input);
  if (text === null) return failed('the plan is not UTF-8');
  if (text.trim() === '') return failed('the plan is empty');
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      version: '1.2',
      schema: 'core',
      // Looked for below: the parser compares each key with each other, minutes for a file of 40,000.
      uniqueKeys: false,
      merge: false,
      prettyErrors: false,
      lineCounter: lines,
    });
    const faults = [...document.errors, ...document.warnings];
    if (faults.some((fault) => fault.message.includes('call stack'))) throw new RangeError('nested too deeply');
    if (document.directives?.yaml.explicit === true)
      return failed('a %YAML directive is not allowed: plans are YAML 1.2');
    if (faults.length > 0) return { ok: false, problems: syntaxProblems(faults, document, lines) };
    return convert(document, lines, text);
  } catch (error) {
    // The parser is recursive: text that is nested tens of thousands deep ends its stack.
    if (error instanceof RangeError) return failed(TOO_DEEP);
    return failed(`the plan can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function decode(input: string | Uint8Array): string | null {
  try {
    const text = typeof input === 'string' ? input : new TextDecoder('utf-8', { fatal: true }).decode(input);
    return text.startsWith('\uFEFF') ? text.slice(1) : text;
  } catch {
    return null;
  }
}

const TAGS = 'tags (!…) other than those of YAML 1.2 are not part of the plan format';
const UNKNOWN_ALIAS = 'this alias (*…) names no anchor (&…) before it; put text that starts with * in quotes';

const problem = (message: string, at: { line: number; column: number } | null): PlanProblem => ({
  code: 'PlanInvalid',
  path: '',
  line: at?.line ?? null,
  column: at?.column ?? null,
  message,
  found: null,
  allowed: null,
  didYouMean: null,
});
const failed = (message: string): TextReading => ({ ok: false, problems: [problem(message, null)] });

/** The parser's errors in words that say what to do; its own words for the rest. */
const SYNTAX: Partial<Record<YAMLError['code'], string>> = {
  TAB_AS_INDENT: 'a tab is used to indent; YAML allows only spaces there',
  MULTIPLE_DOCS: 'a second document starts here (---); a file holds one plan',
  TAG_RESOLVE_FAILED: TAGS,
  MULTIPLE_TAGS: TAGS,
  BAD_ALIAS: UNKNOWN_ALIAS,
  BLOCK_AS_IMPLICIT_KEY: 'a colon and a space in the middle of text, or a wrong indent; put such text in quotes',
  MULTILINE_IMPLICIT_KEY: 'a key must be on one line: is a colon or a quote missing?',
};

function syntaxProblems(
  faults: readonly (YAMLError | YAMLWarning)[],
  document: Document.Parsed,
  lines: LineCounter,
): PlanProblem[] {
  // A tab throws the parser off course: what it says after that only confuses.
  const tabs = faults.filter((fault) => fault.code === 'TAB_AS_INDENT');
  const told = (tabs.length > 0 ? tabs : faults).map((fault) => {
    const open = openQuote(fault, document);
    const { line, col } = lines.linePos(open ?? fault.pos[0]);
    const words = SYNTAX[fault.code] ?? `not YAML: ${fault.message.split('\n')[0]}`;
    return problem(open === null ? words : 'the quote that begins here has no end', { line, column: col });
  });
  return inOrder(told);
}

/** Where the quote begins that the parser found no end of; it reports the end of the text. */
function openQuote(fault: YAMLError | YAMLWarning, document: Document.Parsed): number | null {
  if (!/^Missing closing .quote/.test(fault.message)) return null;
  let start: number | null = null;
  visit(document, {
    Scalar: (_, node) => {
      if (node.type?.startsWith('QUOTE') && node.range && node.range[0] < fault.pos[0]) start = node.range[0];
    },
  });
  return start;
}

function convert(document: Document.Parsed, lines: LineCounter, text: string): TextReading {
  const source = new YamlSource(document, lines, text);
  const reader = new Reader(document);
  const given = reader.read(document.contents, []);
  if (reader.findings.length === 0) return { ok: true, given, source };
  return { ok: false, problems: problemsOf(reader.findings, source) };
}

/** The tags of YAML's core schema; the others would make values that JSON doesn't have. */
const CORE_TAGS = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`),
);
const TOO_LARGE = `with its aliases (*…) expanded, the plan is larger than 512 KiB or has more than ${PLAN_VALUES_MAX} values`;
const TWICE = 'this key is there already; a mapping has each key once';
const ALIASES_MAX = 100;

/** Turns YAML nodes into JSON, within bounds, and finds what JSON or the plan's digest can't hold. */
class Reader {
  readonly findings: Finding[] = [];
  readonly #document: Document.Parsed;
  #values = PLAN_VALUES_MAX;
  #bytes = PLAN_BYTES_MAX;
  #over = false;
  readonly #aliases = new Map<Alias, Node | null>();

  constructor(document: Document.Parsed) {
    this.#document = document;
  }

  read(node: unknown, path: Path): Json {
    if (!this.#spend(2, path)) return null;
    if (node === null || node === undefined) return null;
    if (isAlias(node)) return this.#alias(node, path);
    if (isNode(node) && node.tag !== undefined && !CORE_TAGS.has(node.tag)) {
      this.findings.push(invalid(path, TAGS, { found: node.tag }));
      return null;
    }
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, [...path, index]));
    if (isMap(node)) return this.#map(node.items, path);
    if (isScalar(node)) return this.#scalar(node, path);
    this.findings.push(invalid(path, 'this is neither text, number, list nor mapping'));
    return null;
  }

  #alias(alias: Alias, path: Path): Json {
    let target = this.#aliases.get(alias);
    if (target === undefined) {
      // Each look-up walks the document up to the alias, so their number is bounded.
      if (this.#aliases.size >= ALIASES_MAX) {
        this.#end([], `more than ${ALIASES_MAX} aliases (*…)`);
        return null;
      }
      target = alias.resolve(this.#document) ?? null;
      this.#aliases.set(alias, target);
    }
    if (target !== null) return this.read(target, path);
    this.findings.push(invalid(path, UNKNOWN_ALIAS, { found: `*${alias.source}` }));
    return null;
  }

  #map(items: readonly { key: unknown; value: unknown }[], path: Path): Json {
    const map: Record<string, Json> = {};
    for (const { key: node, value } of items) {
      const key = keyText(node);
      const fault =
        key === null ? 'a key must be text' : key === RESERVED_KEY ? `"${key}" can't be a key` : textFault(key);
      if (key === null || fault !== null) {
        this.findings.push(invalid(path, fault ?? 'a key must be text'));
        continue;
      }
      if (Object.hasOwn(map, key)) this.findings.push(invalid([...path, key], TWICE, { at: 'key' }));
      if (!this.#spend(key.length, path)) break;
      map[key] = this.read(value, [...path, key]);
    }
    return map;
  }

  #scalar(node: Scalar, path: Path): Json {
    const value = node.value;
    if (typeof value === 'string') {
      this.#spend(Buffer.byteLength(value), path);
      const fault = textFault(value);
      if (fault !== null) this.findings.push(invalid(path, fault));
      return value;
    }
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) {
        this.findings.push(invalid(path, 'not a number that JSON can hold', { found: node.source ?? String(value) }));
      } else if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        const found = node.source ?? String(value);
        this.findings.push(
          invalid(path, 'a whole number beyond 2^53 loses its last digits; put it in quotes', { found }),
        );
      }
      return value;
    }
    return typeof value === 'boolean' ? value : null;
  }

  /** Aliases make a small text a large plan, or an endless one: what counts is the plan that comes out. */
  #spend(bytes: number, path: Path): boolean {
    this.#values -= 1;
    this.#bytes -= bytes;
    if (this.#over) return false;
    if (path.length > PLAN_DEPTH_MAX) return this.#end(path.slice(0, 8), TOO_DEEP);
    return this.#values >= 0 && this.#bytes >= 0 ? true : this.#end([], TOO_LARGE);
  }

  #end(path: Path, message: string): false {
    if (!this.#over) this.findings.push(invalid(path, message));
    this.#over = true;
    return false;
  }
}
