import type { CommandMaker } from '../cli.ts';
import { follow } from '../follow.ts';

export const watch: CommandMaker = (cli) =>
  cli.command(
    'watch <name>',
    'follow a migration to its end; with --json one status on each line',
    ({ args, globals, session, terminal }) =>
      session(({ switchback }) => follow(switchback.handle(args[0] ?? ''), globals, terminal)),
  );
