import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import type { DevFile } from '../../src/dev/dev-file.ts';
import { wordsOf } from './command-words.ts';

const COMMAND_LINE = resolve('src/cli/main.ts');
const STOP_MAX_MS = 60_000;

/** A command that runs; its output so far, and its end. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; output: string }>;
  output = '';
  #onOutput: () => void = () => undefined;

  constructor(args: readonly string[], cwd: string, env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [...args], {
      cwd,
      env: { ...withoutTemporal(process.env), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
        this.#onOutput();
      });
    }
    this.ended = new Promise((done) => this.child.once('close', (code) => done({ code, output: this.output })));
  }

  async until(pattern: RegExp): Promise<void> {
    const seen = new Promise<void>((done) => {
      this.#onOutput = () => pattern.test(this.output) && done();
      this.#onOutput();
    });
    const early = this.ended.then(() => {
      if (!pattern.test(this.output)) throw new Error(`it ended without ${String(pattern)}:\n${this.output}`);
    });
    await Promise.race([seen, early]);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGINT');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MAX_MS);
    await this.ended;
    clearTimeout(timer);
  }
}

/** A reader's folder: where their files are, and where what they type runs. Gone when the test ends. */
export class PageSession {
  readonly dir = mkdtempSync(join(tmpdir(), 'switchback-docs-'));
  readonly #running: Running[] = [];

  constructor() {
    onTestFinished(async () => {
      // What was started last, such as a watch, ends before the servers it talks to.
      for (const one of this.#running.toReversed()) await one.stop();
      rmSync(this.dir, { recursive: true, force: true });
    });
  }

  /** Starts a line of a page, `npm run -s switchback -- …`, in the reader's folder. */
  type(line: string): Running {
    const words = wordsOf(line);
    return this.start([COMMAND_LINE, ...words.slice(words.indexOf('--') + 1)]);
  }

  start(args: readonly string[], env: Record<string, string> = {}, cwd = this.dir): Running {
    const running = new Running(args, cwd, env);
    this.#running.push(running);
    return running;
  }

  /** Starts `switchback dev` and waits until all is up. */
  async dev(line: string): Promise<DevFile> {
    await this.type(line).until(/^ready/m);
    return JSON.parse(readFileSync(join(this.dir, '.switchback', 'dev.json'), 'utf8')) as DevFile;
  }
}

/** The reader has no server but the one they start. */
const withoutTemporal = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
