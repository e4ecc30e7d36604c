import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const abort: CommandMaker = (cli) =>
  cli.command(
    'abort <name>',
    'stop and undo everything in reverse order; refused after the point of no return',
    (invocation) => decide(invocation, (handle, decided) => handle.abort(decided)),
  );
