import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const pause: CommandMaker = (cli) =>
  cli.command('pause <name>', 'interrupt what runs and stay as it is until resume', (invocation) =>
    decide(invocation, (handle, decided) => handle.pause(decided)),
  );
