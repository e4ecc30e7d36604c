import type { Counters, Operation } from './counters.ts';
import type { Settings } from './options.ts';
import type { Path } from './stage.ts';

/** What becomes of a call when it has ended at `now`: `value` is its result, or what it threw. */
export type AtEnd = (ok: boolean, value: unknown, now: number) => unknown;

/** Calls one side's function and counts how it went. */
export class Calls {
  readonly #sides: Pick<Settings, Path>;
  readonly #counters: Counters;

  constructor(sides: Pick<Settings, Path>, counters: Counters) {
    this.#sides = sides;
    this.#counters = counters;
  }

  /** One promise beyond the side's own, whatever `atEnd` does: this is the way of nearly every call. */
  call(path: Path, operation: Operation, args: unknown[], unit: string | null, atEnd: AtEnd): Promise<unknown> {
    const began = performance.now();
    let answer: unknown;
    try {
      answer = this.start(path, operation, args);
    } catch (error) {
      answer = Promise.reject(error);
    }
    return (isThenable(answer) ? answer : Promise.resolve(answer)).then(
      (value) => {
        const now = performance.now();
        this.#counters.ended(path, operation, began, now, false, unit);
        return atEnd(true, value, now);
      },
      (error: unknown) => {
        const now = performance.now();
        this.#counters.ended(path, operation, began, now, true, unit);
        return atEnd(false, error, now);
      },
    ) as Promise<unknown>;
  }

  /** Calls without counting. May throw at once. */
  start(path: Path, operation: Operation, args: unknown[]): unknown {
    const side = this.#sides[path];
    return operation === 'read' ? side.read(...args) : side.write?.(...args);
  }
}

export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';

/** The plain end of a call. */
export function passOn(ok: boolean, value: unknown): unknown {
  if (ok) return value;
  throw value;
}
