import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const skip: CommandMaker = (cli) =>
  cli.command('skip <name> <step>', 'go on without a held step; counts as an approval', (invocation) => {
    const [, step] = invocation.args;
    return decide(invocation, (handle, decided) => handle.skip({ ...decided, step }));
  });
