import type { MigrationHandle } from '../client/migration-handle.ts';
import type { Status } from '../messages/index.ts';
import { instant } from '../report/figures.ts';
import { changeLines } from '../report/status-lines.ts';
import type { Globals } from './globals.ts';
import { EXIT, exitCodeOfEnd } from './exit-code.ts';
import { LiveView } from './live-view.ts';
import type { Terminal } from './terminal.ts';

/** Shows one status after the other. */
interface View extends Disposable {
  show(status: Status): void;
}

/**
 * Follows a migration to its end and answers with the exit code. On a terminal it is a view that is redrawn; in a pipe
 * a line for each change; with `--json` a status on each line. Ctrl-C leaves it, and the migration goes on.
 */
export async function follow(handle: MigrationHandle, globals: Globals, terminal: Terminal): Promise<number> {
  const leaving = new AbortController();
  const leave = (): void => leaving.abort();
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  let last: Status | null = null;
  try {
    using view = viewOf(globals, terminal);
    for await (const status of handle.watch({ signal: leaving.signal })) {
      view.show(status);
      last = status;
    }
  } finally {
    process.off('SIGINT', leave);
    process.off('SIGTERM', leave);
  }
  if (leaving.signal.aborted) {
    terminal.err(`left the view; "${handle.name}" goes on. To see it again: ${terminal.program} watch ${handle.name}`);
    return EXIT.done;
  }
  return last === null ? EXIT.done : exitCodeOfEnd(last);
}

function viewOf(globals: Globals, terminal: Terminal): View {
  if (globals.json === true) {
    return { show: (status) => terminal.out(JSON.stringify(status)), [Symbol.dispose]: () => undefined };
  }
  const { screen, color, program } = terminal;
  return screen === null ? linesView(terminal) : new LiveView(screen, { color, program });
}

function linesView({ out, program }: Terminal): View {
  let before: Status | null = null;
  return {
    show: (status) => {
      const at = instant(new Date().toISOString());
      for (const line of changeLines(before, status, program)) out(`${at} ${line}`);
      before = status;
    },
    [Symbol.dispose]: () => undefined,
  };
}
