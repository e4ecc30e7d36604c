import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const retry: CommandMaker = (cli) =>
  cli.command<{ accept?: string }>(
    'retry <name> <step>',
    'try a held step (or gate) again',
    (invocation) => {
      const [, step] = invocation.args;
      const { accept } = invocation.options;
      return decide(invocation, (handle, decided) => handle.retry({ ...decided, step, accept }));
    },
    (command) =>
      command.option(
        '--accept <digest>',
        'go on with what the held step shows: what others have changed in its tables, a gate without a verdict',
      ),
  );
