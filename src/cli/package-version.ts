import { readFileSync } from 'node:fs';

/** The version of this package. */
export function packageVersion(): string {
  // Built or not, package.json lies two folders above src/cli or dist/cli.
  const read = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return read.version;
}
