import type { Stage } from './stage.ts';

/** What calls act on from one moment to the next: they begin and end on the same footing. */
export interface Footing {
  readonly stage: Stage;
  /** Of the stages row; 0 where there is none. */
  readonly generation: number;
  /** Whether acting on this stage is what the row asks for: not where the configured minimum is above it. */
  readonly asAsked: boolean;
  readonly exposure: number;
  /** Whether a call's stage depends on the flag. */
  readonly asksFlag: boolean;
  inFlight: number;
}
/** What is acknowledged: who doesn't act as the row asks has seen no more than the one before. */
export const generationTold = (footing: Footing | null): number =>
  footing === null ? 0 : footing.asAsked ? footing.generation : Math.max(0, footing.generation - 1);

export type NextFooting = Omit<Footing, 'inFlight'>;

/**
 * The footing of new calls, and those that calls under way still stand on. What the instance tells the engine is the
 * oldest of them: a change counts as seen when no call acts on what was before it.
 */
export class Footings {
  #current: Footing | null = null;
  #older: Footing[] = [];
  readonly #onLeft: () => void;
  #idle: (() => void) | null = null;

  /** `onLeft` is called when the last call on an older footing has ended. */
  constructor(onLeft: () => void) {
    this.#onLeft = onLeft;
  }

  get current(): Footing | null {
    return this.#current;
  }
  get told(): Footing | null {
    return this.#older[0] ?? this.#current;
  }
  /** Calls under way on another footing than that of new calls. */
  get lagging(): number {
    return this.#older.reduce((sum, footing) => sum + footing.inFlight, 0);
  }
  get inFlight(): number {
    return this.lagging + (this.#current?.inFlight ?? 0);
  }

  /** New calls stand on `next` from here on. Whether that is another footing. */
  adopt(next: NextFooting): boolean {
    const now = this.#current;
    const same =
      now !== null &&
      now.stage === next.stage &&
      now.generation === next.generation &&
      now.asAsked === next.asAsked &&
      now.exposure === next.exposure &&
      now.asksFlag === next.asksFlag;
    if (same) return false;
    if (now !== null && now.inFlight > 0) this.#older.push(now);
    this.#current = { ...next, inFlight: 0 };
    return true;
  }

  leave(footing: Footing): void {
    footing.inFlight -= 1;
    if (footing.inFlight > 0) return;
    if (footing !== this.#current) {
      this.#older = this.#older.filter((older) => older.inFlight > 0);
      this.#onLeft();
    }
    if (this.#idle !== null && this.inFlight === 0) this.#idle();
  }

  /** Resolves when no call is under way. */
  async untilIdle(): Promise<void> {
    if (this.inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }
}
