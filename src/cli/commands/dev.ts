import { InvalidArgumentError } from 'commander';
import type { CommandMaker } from '../cli.ts';
import { EXIT } from '../exit-code.ts';

export const dev: CommandMaker = (cli) =>
  cli.command<{ seconds?: number }>(
    'dev',
    'start Temporal, Postgres, Unleash and a worker on this machine, in the foreground',
    async ({ globals, options, terminal }) => {
      // Loaded here only: the servers are optional peers that no other command needs.
      const { runDev } = await import('../../dev/dev.ts');
      await runDev({
        configFile: globals.config ?? null,
        seconds: options.seconds,
        say: terminal.err,
        onReady: ({ temporal, databases, unleash }) => {
          if (globals.json === true)
            return terminal.out(JSON.stringify({ ready: true, temporal: temporal.address, ui: temporal.ui }));
          terminal.out('ready; Ctrl-C stops all of it');
          terminal.out(`  Temporal   ${temporal.address}${temporal.ui === null ? '' : `, its UI ${temporal.ui}`}`);
          terminal.out(
            `  Databases  ${Object.keys(databases).join(', ') || 'none'} (their URLs are in .switchback/dev.json)`,
          );
          if (unleash !== null) terminal.out(`  Unleash    ${unleash.url}`);
          terminal.out(`  next       ${terminal.program} start PLAN --watch`);
        },
      });
      return EXIT.done;
    },
    (command) => command.option('--seconds <n>', 'end by itself so long after all was ready', secondsOf),
  );

function secondsOf(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}
