import { LiveView } from '../../src/cli/live-view.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import type { Status } from '../../src/messages/index.ts';
import { type Paint, painter } from '../../src/report/paint.ts';
import { changeLines } from '../../src/report/status-lines.ts';

/** What the demo prints: headings and lines, and the live view of the migration, a line for each change in a pipe. */
export class DemoScreen {
  readonly paint: Paint;
  readonly #terminal: Terminal;
  readonly #startedAt = performance.now();

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.paint = painter(terminal.color);
  }

  /** Whether a person can be expected to read and answer. */
  get interactive(): boolean {
    return this.#terminal.screen !== null && process.stdin.isTTY;
  }

  seconds(): number {
    return Math.round((performance.now() - this.#startedAt) / 1000);
  }

  heading(text: string): void {
    this.#terminal.out(`\n${this.paint('strong', text)}`);
  }

  /** A line, with the seconds since the start. */
  say(text: string): void {
    this.#terminal.out(`${this.paint('dim', `${String(this.seconds()).padStart(4)} s`)}  ${text}`);
  }

  line(text: string): void {
    this.#terminal.out(text);
  }

  /** Shows each status until it is disposed of. `foot` is the last line of the live view. */
  follow(program: string, foot: () => string): Disposable & { show(status: Status): void } {
    const { screen, color } = this.#terminal;
    if (screen !== null) return new LiveView(screen, { color, program, foot });
    let before: Status | null = null;
    return {
      show: (status) => {
        for (const line of changeLines(before, status, program)) this.say(line);
        before = status;
      },
      [Symbol.dispose]: () => undefined,
    };
  }
}
