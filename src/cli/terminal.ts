/** Where the command line writes to and what it may know of the process; made once in main.ts, and by tests. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** The screen that a live view may redraw; null where output goes to a pipe or file. */
  screen: Screen | null;
  color: boolean;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** How this command line is called here: `npx switchback` or `npm run -s switchback --`. */
  program: string;
}
export interface Screen {
  write(text: string): void;
  readonly columns: number;
  readonly rows: number;
  onResize(listener: () => void): () => void;
}

const FALLBACK_COLUMNS = 100;
const FALLBACK_ROWS = 24;

export function processTerminal(): Terminal {
  const { env, stdout, stderr } = process;
  const capable = stdout.isTTY && env['TERM'] !== 'dumb';
  const screen: Screen = {
    write: (text) => void stdout.write(text),
    get columns() {
      return stdout.columns || FALLBACK_COLUMNS;
    },
    get rows() {
      return stdout.rows || FALLBACK_ROWS;
    },
    onResize: (listener) => {
      stdout.on('resize', listener);
      return () => void stdout.off('resize', listener);
    },
  };
  return {
    out: (text) => void stdout.write(`${text}\n`),
    err: (text) => void stderr.write(`${text}\n`),
    screen: capable ? screen : null,
    color: capable && !env['NO_COLOR'],
    env,
    cwd: process.cwd(),
    program: import.meta.url.includes('/node_modules/') ? 'npx switchback' : 'npm run -s switchback --',
  };
}
