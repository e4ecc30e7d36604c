import { scanSync } from 'libpg-query';
import { SqlFault, unitsOfBytes } from './parser.ts';

/** Postgres keeps this much of a name (NAMEDATALEN - 1) and drops the rest without an error. */
const NAME_BYTES_MAX = 63;
/** Token kinds of Postgres's scanner: a name, quoted or not; a name as U&"…". */
const NAME_TOKENS: readonly number[] = [258, 259];

/**
 * Names in SQL that Postgres would cut off: two that differ only after the 63rd byte are one and the same to it, and
 * what the plan says is nowhere to be found in the catalog. The SQL must be one that the parser takes.
 */
export function longNameFaults(sql: string): SqlFault[] {
  if (Buffer.byteLength(sql) <= NAME_BYTES_MAX) return [];
  // The scanner answers as JSON, and doesn't escape control characters in it; a space is as long.
  return scanSync(sql.replaceAll(/[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, ' ')).tokens.flatMap(
    ({ tokenType, text, start }) => {
      if (!NAME_TOKENS.includes(tokenType)) return [];
      const name = nameOf(text);
      const bytes = Buffer.byteLength(name);
      if (bytes <= NAME_BYTES_MAX) return [];
      const message = `the name "${shortened(name)}" has ${bytes} bytes; Postgres keeps ${NAME_BYTES_MAX} and drops the rest`;
      return [new SqlFault(message, unitsOfBytes(sql, start))];
    },
  );
}

/** A token as the name that it stands for: without quotes, with the characters that escapes mean. */
function nameOf(token: string): string {
  const quoted = /^(u&)?"(.*)"$/isu.exec(token);
  if (quoted === null) return token;
  const inside = (quoted[2] ?? '').replaceAll('""', '"');
  return quoted[1] === undefined
    ? inside
    : inside.replaceAll(/\\(?:\+([0-9a-f]{6})|([0-9a-f]{4}))/gi, (_, long: string | undefined, short: string) =>
        String.fromCodePoint(Number.parseInt(long ?? short, 16)),
      );
}

const shortened = (name: string): string => {
  const characters = Array.from(name);
  return characters.length <= 24 ? name : `${characters.slice(0, 23).join('')}…`;
};
