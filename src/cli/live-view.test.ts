import { describe, expect, it } from 'vitest';
import { openGate, sampleStatus } from '../report/sample-status.test-data.ts';
import { rowsOf } from './frame.ts';
import { LiveView } from './live-view.ts';
import type { Screen } from './terminal.ts';

interface FakeScreen extends Screen {
  columns: number;
  rows: number;
  written: string[];
  resize(columns: number, rows: number): void;
}
function screenOf(columns: number, rows: number): FakeScreen {
  const listeners = new Set<() => void>();
  const screen: FakeScreen = {
    columns,
    rows,
    written: [],
    write: (text) => void screen.written.push(text),
    onResize: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    resize: (nextColumns, nextRows) => {
      screen.columns = nextColumns;
      screen.rows = nextRows;
      for (const listener of listeners) listener();
    },
  };
  return screen;
}
// biome-ignore lint: escape sequences are what is left out
const plain = (text: string): string[] =>
  text
    .replace(/\u001b\[[?\d;]*[A-Za-z]/g, '')
    .replace(/^\r/, '')
    .split('\r\n')
    .slice(0, -1);
const options = { color: true, program: 'npx switchback' };

describe('LiveView', () => {
  it('hides the cursor while it is there and gives it back', () => {
    const screen = screenOf(100, 40);
    const view = new LiveView(screen, options);
    expect(screen.written[0]).toBe('\u001b[?25l');
    view.show(sampleStatus());
    view.close();
    expect(screen.written.at(-1)).toBe('\u001b[?25h');
  });

  it.each([
    [100, 40],
    [100, 12],
    [60, 18],
    [40, 10],
    [120, 6],
  ])('never takes more rows than a terminal of %i by %i has', (columns, rows) => {
    const screen = screenOf(columns, rows);
    const view = new LiveView(screen, options);
    view.show(
      sampleStatus({
        status: 'awaiting-approval',
        gates: [openGate()],
        links: { temporal: `http://ui/${'x'.repeat(80)}` },
      }),
    );
    const frame = plain(screen.written.at(-1) ?? '');
    expect(rowsOf(frame, columns)).toBeLessThan(rows);
    expect(frame.length).toBeGreaterThan(1);
    view.close();
  });

  it('draws again for the new size when the terminal changes', () => {
    const screen = screenOf(120, 40);
    const view = new LiveView(screen, options);
    view.show(sampleStatus());
    screen.resize(50, 30);
    const frame = plain(screen.written.at(-1) ?? '');
    expect(rowsOf(frame, 50)).toBe(frame.length);
    view.close();
    const written = screen.written.length;
    screen.resize(80, 30);
    expect(screen.written.length).toBe(written);
  });

  it('leaves the last frame whole, without the note about Ctrl-C', () => {
    const screen = screenOf(120, 10);
    const view = new LiveView(screen, options);
    view.show(sampleStatus());
    expect(plain(screen.written.at(-1) ?? '').at(-1)).toContain('Ctrl-C');
    view.close();
    const last = plain(screen.written.at(-2) ?? '');
    expect(last.join('\n')).toContain('ramp');
    expect(last.join('\n')).not.toContain('Ctrl-C');
  });
});
