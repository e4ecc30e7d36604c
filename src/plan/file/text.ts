import type { Document, Scalar, YAMLError, YAMLWarning } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { type Finding, invalid, type Path } from '../finding.ts';
import { PLAN_BYTES_MAX } from '../plan.ts';
import { type Json, PLAN_DEPTH_MAX, PLAN_VALUES_MAX, RESERVED_KEY, textFault } from './json.ts';
import { type PlanProblem, problemsOf } from './problem.ts';
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
      uniqueKeys: true,
      merge: false,
      prettyErrors: false,
      lineCounter: lines,
    });
    const faults = [...document.errors, ...document.warnings];
    if (faults.length > 0) return { ok: false, problems: faults.map((fault) => syntaxProblem(fault, lines)) };
    return convert(document, lines, text);
  } catch (error) {
    // The parser is recursive: text that is nested tens of thousands deep ends its stack.
    if (error instanceof RangeError) return failed(`the plan is nested deeper than ${PLAN_DEPTH_MAX} levels`);
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
  DUPLICATE_KEY: 'this key is there already; a mapping has each key once',
  TAB_AS_INDENT: 'a tab is used to indent; YAML allows only spaces there',
  MULTIPLE_DOCS: 'a second document starts here (---); a file holds one plan',
  TAG_RESOLVE_FAILED: 'tags (!…) are not part of the plan format',
  MULTIPLE_TAGS: 'tags (!…) are not part of the plan format',
  BAD_ALIAS: 'this alias (*…) names no anchor (&…) before it; put text that starts with * in quotes',
  MULTILINE_IMPLICIT_KEY: 'a key must be on one line: is a colon or a quote missing?',
};

function syntaxProblem(fault: YAMLError | YAMLWarning, lines: LineCounter): PlanProblem {
  const { line, col } = lines.linePos(fault.pos[0]);
  const words = SYNTAX[fault.code] ?? `not YAML: ${fault.message.split('\n')[0]}`;
  return problem(words, { line, column: col });
}

function convert(document: Document.Parsed, lines: LineCounter, text: string): TextReading {
  const source = new YamlSource(document, lines, text);
  const reader = new Reader(document);
  const given = reader.read(document.contents, []);
  if (reader.findings.length === 0) return { ok: true, given, source };
  return { ok: false, problems: problemsOf(reader.findings, source) };
}

/** Turns YAML nodes into JSON, within bounds, and finds what JSON or the plan's digest can't hold. */
class Reader {
  readonly findings: Finding[] = [];
  readonly #document: Document.Parsed;
  #values = PLAN_VALUES_MAX;
  #bytes = PLAN_BYTES_MAX;
  #over = false;

  constructor(document: Document.Parsed) {
    this.#document = document;
  }

  read(node: unknown, path: Path): Json {
    if (!this.#spend(2, path)) return null;
    if (node === null || node === undefined) return null;
    if (isAlias(node)) return this.read(node.resolve(this.#document), path);
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, [...path, index]));
    if (isMap(node)) return this.#map(node.items, path);
    if (isScalar(node)) return this.#scalar(node, path);
    this.findings.push(invalid(path, 'this is neither text, number, list nor mapping'));
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
      if (Object.hasOwn(map, key)) this.findings.push(invalid([...path, key], 'this key is there already'));
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
    const deep = path.length > PLAN_DEPTH_MAX;
    if (this.#over) return false;
    if (!deep && this.#values >= 0 && this.#bytes >= 0) return true;
    this.#over = true;
    this.findings.push(
      deep
        ? invalid(path.slice(0, 8), `nested deeper than ${PLAN_DEPTH_MAX} levels, or in a circle`)
        : invalid(
            [],
            `with its aliases (*…) expanded, the plan is larger than 512 KiB or has more than ${PLAN_VALUES_MAX} values`,
          ),
    );
    return false;
  }
}
