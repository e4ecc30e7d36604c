import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const reject: CommandMaker = (cli) =>
  cli.command('reject <name> [gate]', 'refuse an open gate; the migration is then held', (invocation) => {
    const [, gate] = invocation.args;
    return decide(invocation, (handle, decided) => handle.reject({ ...decided, gate }));
  });
