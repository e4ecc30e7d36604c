import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SwitchbackError } from '../../messages/index.ts';
import type { CommandMaker } from '../cli.ts';

/** The demo is part of the repository, with its plan, its services and their data; the package doesn't carry it. */
export const demo: CommandMaker = (cli) =>
  cli.command(
    'demo [options...]',
    'run the demo of this checkout: three services, live traffic, a whole migration',
    ({ args }) => {
      const main = fileURLToPath(new URL(`../../../scripts/demo/main${extname(import.meta.url)}`, import.meta.url));
      if (!existsSync(main)) {
        throw new SwitchbackError(
          'UsageInvalid',
          'the demo needs a checkout of the repository: the package does not carry it',
          {
            hint: 'clone the repository and run `npm ci && npm run demo` there',
          },
        );
      }
      return runToEnd(main, (args[0] ?? []) as unknown as string[]);
    },
    (command) => command.allowUnknownOption().helpOption(false),
  );

async function runToEnd(main: string, args: readonly string[]): Promise<number> {
  // The demo's plan and data are named as seen from the top of the checkout, wherever this was typed.
  const top = join(dirname(main), '..', '..');
  const child = spawn(process.execPath, [main, ...args], { stdio: 'inherit', cwd: top });
  // Ctrl-C reaches the child by itself, as it shares the terminal; we only wait until it has cleaned up.
  const wait = (): void => undefined;
  const pass = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', wait);
  process.on('SIGTERM', pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    process.off('SIGINT', wait);
    process.off('SIGTERM', pass);
  }
}
