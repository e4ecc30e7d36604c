import type { CommandMaker } from '../cli.ts';
import { EXIT } from '../exit-code.ts';

export const release: CommandMaker = (cli) =>
  cli.command(
    'release <name>',
    'free the tables that a dead run of a migration still claims; goes on record',
    ({ args, session, print, terminal, globals }) =>
      session(async ({ switchback, who }) => {
        const answer = await switchback.release(args[0] ?? '', { by: who });
        const done = answer.released.length > 0;
        if (done || globals.json === true)
          print(answer, () => `released: ${answer.released.join(', ')}\n${answer.reason}`);
        else terminal.err(`nothing released: ${answer.reason}`);
        return done ? EXIT.done : EXIT.input;
      }),
  );
