/** Text that Postgres takes: people send NUL and halves of surrogate pairs too, and what is cut may end in one. */
export const writable = (text: string): string => text.replaceAll('\0', '\ufffd').toWellFormed();
export const jsonOf = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? writable(part) : part));
