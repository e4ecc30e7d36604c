import type { Status } from '../messages/index.ts';
import { painter } from '../report/paint.ts';
import { statusLines } from '../report/status-text.ts';
import { HIDE_CURSOR, redraw, rowsOf, SHOW_CURSOR } from './frame.ts';
import type { Screen } from './terminal.ts';

const TICK_MS = 1_000;
const FITTING_TRIES_MAX = 3;
const FOOT = 'Ctrl-C leaves this view; the migration goes on.';

export interface LiveViewOptions {
  color: boolean;
  program: string;
  /** The last line, asked for at each drawing; how to leave the view where left out. */
  foot?: (() => string) | undefined;
}

/**
 * A status that is redrawn in place on a terminal, until `close`. It follows the terminal's size, lets times run on
 * between two statuses, and gives the cursor back however it ends.
 */
export class LiveView implements Disposable {
  readonly #screen: Screen;
  readonly #options: LiveViewOptions;
  readonly #stop: () => void;
  #status: Status | null = null;
  #shown: string[] = [];

  constructor(screen: Screen, options: LiveViewOptions) {
    this.#screen = screen;
    this.#options = options;
    screen.write(HIDE_CURSOR);
    const stopResize = screen.onResize(() => this.#draw());
    const tick = setInterval(() => this.#draw(), TICK_MS);
    this.#stop = () => {
      clearInterval(tick);
      stopResize();
    };
  }

  show(status: Status): void {
    this.#status = status;
    this.#draw();
  }

  /** Leaves the last frame on the screen, whole, and the cursor below it. */
  close(): void {
    this.#stop();
    if (this.#status !== null) this.#draw({ whole: true });
    this.#screen.write(SHOW_CURSOR);
  }
  [Symbol.dispose](): void {
    this.close();
  }

  #draw({ whole = false } = {}): void {
    if (this.#status === null) return;
    const { columns } = this.#screen;
    const next = whole ? this.#lines(undefined) : this.#fitting();
    this.#screen.write(redraw(this.#shown, next, columns));
    this.#shown = next;
  }

  /** The frame in the rows that the terminal has; commands may wrap, so it is measured and asked for again. */
  #fitting(): string[] {
    const { columns, rows } = this.#screen;
    const room = rows - 1;
    let asked = room - 2;
    let lines: string[] = [];
    for (let tries = 0; tries < FITTING_TRIES_MAX; tries += 1) {
      lines = this.#lines(asked);
      const over = rowsOf(lines, columns) + 2 - room;
      if (over <= 0) break;
      asked -= over;
    }
    const hint = painter(this.#options.color)('dim', this.#options.foot?.() ?? FOOT);
    const framed = [...lines, '', hint];
    while (framed.length > 1 && rowsOf(framed, columns) > room) framed.pop();
    return framed;
  }

  #lines(rowsMax: number | undefined): string[] {
    const status = this.#status;
    if (status === null) return [];
    const { color, program } = this.#options;
    return statusLines(status, { width: this.#screen.columns, color, program, now: new Date(), rowsMax });
  }
}
