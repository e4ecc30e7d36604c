import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

export const resume: CommandMaker = (cli) =>
  cli.command('resume <name>', 'go on after a pause', (invocation) =>
    decide(invocation, (handle, decided) => handle.resume(decided)),
  );
