import { Command, CommanderError } from 'commander';
import { SwitchbackError } from '../messages/index.ts';
import { painter } from '../report/paint.ts';
import { Cli } from './cli.ts';
import { COMMANDS } from './commands/index.ts';
import { errorObject, errorText } from './error-text.ts';
import { EXIT, exitCodeOf } from './exit-code.ts';
import { packageVersion } from './package-version.ts';
import type { Terminal } from './terminal.ts';

const EPILOGUE = `
Exit codes: 0 done as asked; 1 the migration ended rolled back or failed; 2 the input was wrong; 3 a server can't be reached.
Temporal is found by --address, TEMPORAL_ADDRESS, the running \`dev\` of this folder, or Temporal's own profile file.`;

/** Runs one command line and answers with its exit code. It never throws. */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const cli = new Cli(terminal);
  try {
    const program = programOf(cli);
    if (args.length === 0) {
      terminal.err(`${program.helpInformation().trimEnd()}\n${EPILOGUE}`);
      return EXIT.input;
    }
    await program.parseAsync([...args], { from: 'user' });
    return cli.exitCode;
  } catch (thrown) {
    const error = thrown instanceof CommanderError ? usageError(thrown, args, terminal) : thrown;
    if (error === null) return EXIT.done;
    const json = args.includes('--json');
    terminal.err(
      json
        ? JSON.stringify(errorObject(error), null, 2)
        : errorText(error, painter(terminal.color), Boolean(terminal.env['DEBUG'])),
    );
    return exitCodeOf(error);
  }
}

export function programOf(cli: Cli): Command {
  const { terminal } = cli;
  const program = new Command('switchback')
    .description('Durable, reversible migrations across services, flags and databases.')
    .version(packageVersion())
    .option('--as <who>', 'who asks or decides; your account’s name where left out')
    .option('--comment <text>', 'why; goes on record with a decision')
    .option('--json', 'machine-readable output')
    .option('--config <file>', 'configuration (switchback.config.yaml)')
    .option('--address <host:port>', 'Temporal’s address')
    .option('--namespace <name>', 'Temporal’s namespace')
    .option('--profile <name>', 'profile in Temporal’s configuration file')
    .option('--task-queue <name>', 'task queue of the workers')
    .option('--no-color', 'no colours (so does NO_COLOR)')
    .addHelpText('after', EPILOGUE)
    .showSuggestionAfterError(true);
  for (const make of COMMANDS) program.addCommand(make(cli));
  // Errors are thrown and formatted in one place; only help and version are written by commander itself.
  for (const command of [program, ...program.commands]) {
    command.exitOverride();
    // Whoever asks for the help of `approve` has to learn of --as there.
    command.configureHelp({ showGlobalOptions: true });
    command.configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: () => undefined,
      outputError: () => undefined,
    });
  }
  return program;
}

/** What commander found wrong, in our form; null where it only showed the help or the version. */
function usageError(error: CommanderError, args: readonly string[], { program }: Terminal): SwitchbackError | null {
  if (error.exitCode === 0) return null;
  const [message = '', ...more] = wordsOf(error, args).split('\n');
  const suggestion = more
    .join(' ')
    .replace(/^\(|\)$/g, '')
    .replace(/^Did/, 'did');
  return new SwitchbackError('UsageInvalid', [message, suggestion].filter((part) => part !== '').join('; '), {
    hint: `${program} --help lists commands and options`,
  });
}

/** Where the help can't be shown as it was asked for, commander says only that it would have shown some. */
function wordsOf({ code, message }: CommanderError, args: readonly string[]): string {
  if (code !== 'commander.help') return message.replace(/^error: /, '');
  const asked = args[args.indexOf('help') + 1];
  return args.includes('help') && asked !== undefined ? `unknown command '${asked}'` : 'a command is missing';
}
