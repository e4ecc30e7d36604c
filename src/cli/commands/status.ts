import { statusText } from '../../report/status-text.ts';
import type { CommandMaker } from '../cli.ts';
import { EXIT } from '../exit-code.ts';

const PIPE_COLUMNS = 160;

export const status: CommandMaker = (cli) =>
  cli.command(
    'status <name>',
    'show where a migration is and what to type next',
    ({ args, session, print, terminal }) =>
      session(async ({ switchback }) => {
        const found = await switchback.handle(args[0] ?? '').status();
        const { screen, color, program } = terminal;
        print(found, () =>
          statusText(found, { width: screen?.columns ?? PIPE_COLUMNS, color, program, now: new Date() }),
        );
        return EXIT.done;
      }),
  );
