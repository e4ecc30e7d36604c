import { isDeepStrictEqual } from 'node:util';
import { type Calls, isThenable, passOn } from './calls.ts';
import type { Counters } from './counters.ts';
import type { Footing, Footings } from './footing.ts';
import type { Settings } from './options.ts';
import { ACTS, otherOf, type Path, type Stage } from './stage.ts';

/** How a read ended that is compared: `cleaned` at once, before its caller can change it. */
type Ended = { value: unknown; cleaned: unknown } | null;

/**
 * Reads. Where both sides are read they are called at once, the first of them by chance, so that neither always finds
 * the other's caches warm. The caller gets the authoritative answer as soon as it is there; what becomes of the other
 * read is counted and reaches nobody.
 */
export class Reads {
  readonly #settings: Settings;
  readonly #calls: Calls;
  readonly #counters: Counters;
  readonly #footings: Footings;

  constructor(settings: Settings, calls: Calls, counters: Counters, footings: Footings) {
    this.#settings = settings;
    this.#calls = calls;
    this.#counters = counters;
    this.#footings = footings;
  }

  /** The call has entered the footing, and leaves it here. */
  at(footing: Footing, stage: Stage, args: unknown[], unit: string | null): Promise<unknown> {
    const { reads, compares } = ACTS[stage];
    const leave = (ok: boolean, value: unknown): unknown => {
      this.#footings.leave(footing);
      return passOn(ok, value);
    };
    if (compares && this.#settings.random() < this.#settings.sample) {
      return this.#both(reads, stage, args, unit, leave);
    }
    return this.#calls.call(reads, 'read', args, unit, leave);
  }

  #both(
    main: Path,
    stage: Stage,
    args: unknown[],
    unit: string | null,
    leave: (ok: boolean, value: unknown) => unknown,
  ): Promise<unknown> {
    const ended = Promise.withResolvers<Ended>();
    const authoritative = (): Promise<unknown> =>
      this.#calls.call(main, 'read', args, unit, (ok, value) => {
        ended.resolve(ok ? this.#cleaned(value, main) : null);
        return leave(ok, value);
      });
    const other = otherOf(main);
    let answer: Promise<unknown>;
    let shadow: Promise<Ended>;
    if (this.#settings.random() < 0.5) {
      shadow = this.#shadow(other, args, unit);
      answer = authoritative();
    } else {
      answer = authoritative();
      shadow = this.#shadow(other, args, unit);
    }
    void Promise.all([ended.promise, shadow]).then(([mine, theirs]) => {
      if (mine !== null && theirs !== null) this.#compare(main, mine, theirs, stage, args, unit);
    });
    return answer;
  }

  /** Never rejects. What takes too long has failed: its own end is only counted as late. */
  #shadow(path: Path, args: unknown[], unit: string | null): Promise<Ended> {
    const began = performance.now();
    const { promise, resolve } = Promise.withResolvers<Ended>();
    let open = true;
    const end = (failed: boolean, value: unknown): void => {
      if (!open) {
        this.#counters.shadowLate += 1;
        return;
      }
      open = false;
      clearTimeout(timer);
      this.#counters.ended(path, 'read', began, performance.now(), failed, unit);
      resolve(failed ? null : this.#cleaned(value, path));
    };
    const timer = setTimeout(() => {
      this.#counters.shadowTimeouts += 1;
      end(true, null);
    }, this.#settings.shadowTimeoutMs).unref();
    try {
      const answer = this.#calls.start(path, 'read', args);
      if (isThenable(answer)) {
        answer.then(
          (value) => end(false, value),
          () => end(true, null),
        );
      } else end(false, answer);
    } catch {
      end(true, null);
    }
    return promise;
  }

  #cleaned(value: unknown, path: Path): Ended {
    const clean = this.#settings.clean[path];
    if (clean === null) return { value, cleaned: value };
    try {
      return { value, cleaned: clean(value) };
    } catch {
      this.#counters.comparisonErrors += 1;
      return null;
    }
  }

  #compare(
    main: Path,
    mine: NonNullable<Ended>,
    theirs: NonNullable<Ended>,
    stage: Stage,
    args: unknown[],
    key: string | null,
  ): void {
    const { compare, ignore, onMismatch, flag } = this.#settings;
    const [old, fresh] = main === 'old' ? [mine, theirs] : [theirs, mine];
    try {
      const same = (compare ?? isDeepStrictEqual)(old.cleaned, fresh.cleaned);
      const known = !same && ignore !== null && ignore(old.value, fresh.value, ...args);
      this.#counters.compared += 1;
      if (same) return;
      if (known) {
        this.#counters.ignored += 1;
        return;
      }
      this.#counters.mismatches += 1;
      onMismatch?.({ flag, stage, key });
    } catch {
      this.#counters.comparisonErrors += 1;
    }
  }
}
