import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const approve: CommandMaker = (cli) =>
  cli.command(
    'approve <name> [gate]',
    'approve an open gate; GATE (such as migrate/after) may be left out while one is open',
    (invocation) => {
      const [, gate] = invocation.args;
      return decide(invocation, (handle, decided) => handle.approve({ ...decided, gate }));
    },
  );
