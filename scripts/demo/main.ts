import { processTerminal } from '../../src/cli/terminal.ts';
import { SwitchbackError } from '../../src/messages/index.ts';
import { type DemoOptions, readOptions, USAGE } from './options.ts';
import { DemoScreen } from './screen.ts';
import { runDemo } from './story.ts';

const EXIT = { proven: 0, notProven: 1, input: 2, interrupted: 130 } as const;

function optionsOrNull(): DemoOptions | null {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return null;
  }
}

async function main(): Promise<number> {
  const options = optionsOrNull();
  if (options === null) return EXIT.input;
  if (options.help) {
    console.log(USAGE);
    return EXIT.proven;
  }
  const terminal = processTerminal();
  const stopping = new AbortController();
  const stop = (): void => {
    // A second Ctrl-C is from somebody in a hurry; what was started ends by itself when this process is gone.
    if (stopping.signal.aborted) process.exit(EXIT.interrupted);
    stopping.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  try {
    return (await runDemo(options, terminal, new DemoScreen(terminal), stopping.signal)) ? EXIT.proven : EXIT.notProven;
  } catch (error) {
    if (stopping.signal.aborted) {
      terminal.err('stopped');
      return EXIT.interrupted;
    }
    const hint = error instanceof SwitchbackError && error.hint !== null ? `\n  ${error.hint}` : '';
    terminal.err(`the demo failed: ${error instanceof Error ? error.message : String(error)}${hint}`);
    if (process.env['DEBUG']) terminal.err(String(error instanceof Error ? error.stack : ''));
    return EXIT.notProven;
  }
}

process.exitCode = await main();
// Everything has been stopped; a connection that closes slowly must not hold the terminal.
setTimeout(() => process.exit(), 2_000).unref();
