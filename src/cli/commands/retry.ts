import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const retry: CommandMaker = (cli) =>
  cli.command('retry <name> <step>', 'try a held step (or gate) again', (invocation) => {
    const [, step] = invocation.args;
    return decide(invocation, (handle, decided) => handle.retry({ ...decided, step }));
  });
