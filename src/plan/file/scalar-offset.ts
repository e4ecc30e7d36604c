import type { Scalar } from 'yaml';

/**
 * Where in the file the `offset`th character of a scalar's value stands; null where folding or an escape of several
 * lines makes that unclear.
 */
export function offsetInScalar(text: string, scalar: Scalar, offset: number): number | null {
  const range = scalar.range;
  if (range === null || range === undefined || typeof scalar.value !== 'string') return null;
  const [start, end] = range;
  const raw = text.slice(start, end);
  if (scalar.type === 'PLAIN') return raw === scalar.value ? start + offset : null;
  if (scalar.type === 'QUOTE_SINGLE') return inSingleQuotes(raw, scalar.value, start, offset);
  if (scalar.type === 'QUOTE_DOUBLE') return inDoubleQuotes(raw, start, offset);
  if (scalar.type === 'BLOCK_LITERAL') return inBlock(raw, scalar.value, start, offset);
  return null;
}

function inSingleQuotes(raw: string, value: string, start: number, offset: number): number | null {
  if (raw.includes('\n')) return null;
  let at = 1;
  for (let i = 0; i < offset && i < value.length; i++) at += raw.startsWith("''", at) ? 2 : 1;
  return start + at;
}

const ESCAPE_LENGTHS: Record<string, number> = { x: 4, u: 6, U: 10 };

function inDoubleQuotes(raw: string, start: number, offset: number): number | null {
  if (raw.includes('\n')) return null;
  let at = 1;
  for (let unit = 0; unit < offset && at < raw.length; unit++) {
    if (raw[at] !== '\\') {
      at += 1;
      continue;
    }
    const kind = raw[at + 1] ?? '';
    const length = ESCAPE_LENGTHS[kind] ?? 2;
    // An escape beyond the basic plane is two UTF-16 units of the value.
    if (kind === 'U' && Number.parseInt(raw.slice(at + 2, at + 10), 16) > 0xffff) unit += 1;
    at += length;
  }
  return start + at;
}

function inBlock(raw: string, value: string, start: number, offset: number): number | null {
  const before = value.slice(0, offset).split('\n');
  const lineIndex = before.length - 1;
  const valueLine = value.split('\n')[lineIndex] ?? '';
  const lines = raw.split('\n');
  // The first line of the source is the header: `|`, `|-`, `|2`.
  const sourceLine = lines[lineIndex + 1];
  if (sourceLine === undefined) return start;
  const bare = sourceLine.endsWith('\r') ? sourceLine.slice(0, -1) : sourceLine;
  if (!bare.endsWith(valueLine)) return null;
  const lineStart = lines.slice(0, lineIndex + 1).reduce((sum, line) => sum + line.length + 1, 0);
  return start + lineStart + (bare.length - valueLine.length) + (before.at(-1) ?? '').length;
}
