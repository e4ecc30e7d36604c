import { Command } from 'commander';
import { type Globals, placeWords } from './globals.ts';
import { withSession, type Session } from './session.ts';
import type { Terminal } from './terminal.ts';

/** What a command gets when it runs: its arguments and options, the options that all take, and where to write. */
export interface Invocation<Options = Record<string, unknown>> {
  args: (string | undefined)[];
  options: Options;
  globals: Globals;
  terminal: Terminal;
  /** Connects to Temporal for the time of `work`. */
  session<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** Prints `value` as JSON where `--json` is given, else the text. */
  print(value: unknown, text: () => string): void;
}
export type Run<Options> = (invocation: Invocation<Options>) => Promise<number>;

/** Makes one command; each file of commands/ exports one such function. */
export type CommandMaker = (cli: Cli) => Command;

/** Binds commands to a terminal and keeps the exit code of the one that ran. */
export class Cli {
  readonly terminal: Terminal;
  exitCode = 0;

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  command<Options = Record<string, unknown>>(
    usage: string,
    summary: string,
    run: Run<Options>,
    configure: (command: Command) => Command = (command) => command,
  ): Command {
    const [name = '', ...args] = usage.split(' ');
    const command = new Command(name).description(summary);
    for (const argument of args) command.argument(argument);
    return configure(command).action(async (...given: unknown[]) => {
      const at = given.at(-1) as Command;
      this.exitCode = await run(
        this.#invocation(at, given.slice(0, -2) as (string | undefined)[], given.at(-2) as Options),
      );
    });
  }

  #invocation<Options>(command: Command, args: (string | undefined)[], options: Options): Invocation<Options> {
    const globals = command.optsWithGlobals<Globals>();
    const { terminal } = this;
    const shown: Terminal = {
      ...terminal,
      color: terminal.color && globals.color !== false,
      program: [terminal.program, ...placeWords(globals)].join(' '),
    };
    return {
      args,
      options,
      globals,
      terminal: shown,
      session: (work) => withSession(globals, shown, work),
      print: (value, text) => shown.out(globals.json === true ? JSON.stringify(value, null, 2) : text()),
    };
  }
}
