import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { readOptions } from '../../scripts/demo/options.ts';
import { Cli } from '../../src/cli/cli.ts';
import { programOf } from '../../src/cli/program.ts';
import { processTerminal } from '../../src/cli/terminal.ts';

const SCRIPTS = (JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }).scripts;
const NPM_ITSELF = ['ci', 'install'];

/** A command line as the shell takes it apart; as much of it as the pages use. */
export function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|[^\s'"]+/g)].map((match) => match[1] ?? match[2] ?? match[0]);
}

/** Throws where a command of a page isn't one that exists, with arguments that it takes. */
export async function assertCommand(line: string): Promise<void> {
  for (const part of line.split('&&')) await assertOne(wordsOf(part));
}

async function assertOne([program, ...args]: string[]): Promise<void> {
  if (program === 'npm') return assertNpm(args);
  if (program === 'npx' && args[0] !== 'switchback') return assertBinary(args[0] ?? '');
  if (program === 'npx') return assertSwitchback(args.slice(1));
  throw new Error(`"${program}" is neither npm nor npx: mark the block with "not run: WHY"`);
}

async function assertNpm(args: readonly string[]): Promise<void> {
  const split = args.indexOf('--');
  const [verb = '', script = ''] = (split === -1 ? args : args.slice(0, split)).filter((word) => !word.startsWith('-'));
  const rest = split === -1 ? [] : args.slice(split + 1);
  if (NPM_ITSELF.includes(verb)) return;
  const name = verb === 'run' ? script : verb;
  if (SCRIPTS[name] === undefined) throw new Error(`package.json has no script "${name}"`);
  if (name === 'switchback') return assertSwitchback(rest);
  if (name === 'demo') return void readOptions(rest);
  if (rest.length > 0) throw new Error(`nobody knows which arguments the script "${name}" takes`);
}

function assertBinary(name: string): void {
  if (!existsSync(join('node_modules', '.bin', name))) throw new Error(`no package has a command "${name}"`);
}

/** Reads the arguments as the command line would, and runs nothing. */
async function assertSwitchback(args: readonly string[]): Promise<void> {
  const program = programOf(new Cli(processTerminal()));
  let runs = '';
  for (const command of program.commands) command.action(() => void (runs = command.name()));
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    throw error;
  }
  if (runs === '') throw new Error('it has no command');
}
