import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK = /<!-- file: (\S+) -->\n```(\w+)\n[\s\S]*?```/g;
/** How the package's entry points are named here, and by whoever has installed it. */
const IN_CHECKOUT = /from '(?:\.\.\/)+src\/(client|switch)\/index\.ts'/g;
const INSTALLED: Readonly<Record<string, string>> = { client: 'switchback', switch: 'switchback/switch' };

/** A file as the pages show it: with the import that works in a project that has installed the package. */
export const shownFile = (root: string, path: string): string =>
  readFileSync(join(root, path), 'utf8')
    .replaceAll(IN_CHECKOUT, (_, folder: string) => `from '${INSTALLED[folder]}'`)
    .trimEnd();

/** Fills the blocks below `<!-- file: PATH -->` with the files' content. */
export const withFiles = (document: string, root: string): string =>
  document.replaceAll(BLOCK, (_, path: string, language: string) =>
    [`<!-- file: ${path} -->`, `\`\`\`${language}`, shownFile(root, path), '```'].join('\n'),
  );
