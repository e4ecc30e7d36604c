/** The value at a JSON pointer (RFC 6901), or null where there is none. */
export function atPointer(body: unknown, pointer: string): { value: unknown } | null {
  let value = body;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return null;
    value = (value as Record<string, unknown>)[key];
  }
  return { value };
}
