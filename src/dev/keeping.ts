import { type ChildProcess, spawn } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from './environment.ts';

/** Makes sure that what this process starts ends with it, even where it is killed with SIGKILL. See keeper.ts. */
class Keeping {
  #keeper: ChildProcess | null = null;
  readonly #pids = new Set<number>();

  add(pid: number, stopSignal: NodeJS.Signals): void {
    this.#pids.add(pid);
    this.#keeper ??= startKeeper();
    this.#keeper.stdin?.write(`+${pid} ${stopSignal}\n`);
  }

  remove(pid: number): void {
    if (!this.#pids.delete(pid)) return;
    this.#keeper?.stdin?.write(`-${pid}\n`);
    if (this.#pids.size > 0) return;
    this.#keeper?.stdin?.end();
    this.#keeper = null;
  }
}

function startKeeper(): ChildProcess {
  const script = fileURLToPath(new URL(`./keeper${extname(import.meta.url)}`, import.meta.url));
  const keeper = spawn(process.execPath, [script], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: cleanEnvironment(),
  });
  // A keeper that can't be started or has died is no reason to stop: it only matters where this process is killed.
  keeper.on('error', () => undefined);
  keeper.stdin?.on('error', () => undefined);
  keeper.unref();
  return keeper;
}

export const keeping = new Keeping();
