import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SwitchbackError } from '../messages/index.ts';

/** Writes a file that an option names. Throws UsageInvalid where it can't be written. */
export function writeFile(cwd: string, path: string, content: string, option: string): void {
  try {
    writeFileSync(resolve(cwd, path), content);
  } catch (error) {
    throw new SwitchbackError('UsageInvalid', `"${path}" can't be written (${(error as NodeJS.ErrnoException).code})`, {
      hint: `give ${option} a path in a folder that exists and that you may write to`,
      cause: error,
    });
  }
}
