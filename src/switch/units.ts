import type { Path } from './stage.ts';

/**
 * Distinct units (users, orders: whatever `key` names) that called each path in a minute, and those of them that met a
 * failure: one user who retries a hundred times is one unit, which keeps failures independent of each other for the
 * statistics of a gate.
 *
 * Memory is bounded: one table of hashes, emptied each minute. When it is half full, only units whose hash begins
 * with zeros are taken in, one more each time, for the rest of that minute. Whether a unit is counted depends on its hash alone and
 * never on how its calls end, so that the share of failed units stays true; there are just fewer of them.
 */
const SLOTS = 16_384;
const ALL_TAKEN_MAX = SLOTS / 2;
const TAKEN_MAX = (SLOTS * 3) / 4;
/** So many more are taken in before who is taken in is halved again. */
const HALVED_EVERY = 512;
const MINUTE_MS = 60_000;
const SEEN: Readonly<Record<Path, number>> = { old: 1, new: 2 };
const FAILED: Readonly<Record<Path, number>> = { old: 4, new: 8 };

export interface UnitCounts {
  units: number;
  unitsFailed: number;
}

export class Units {
  readonly #hashes = new Uint32Array(SLOTS);
  readonly #marks = new Uint8Array(SLOTS);
  #minute = -1;
  #taken = 0;
  #mask = 0;
  readonly counts: Readonly<Record<Path, UnitCounts>> = {
    old: { units: 0, unitsFailed: 0 },
    new: { units: 0, unitsFailed: 0 },
  };

  /** Counts a call that ended at `now` (milliseconds, of any one clock). */
  note(unit: string, path: Path, failed: boolean, now: number): void {
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== this.#minute) this.#begin(minute);
    const hash = hashOf(unit);
    const slot = this.#slotOf(hash);
    if (slot === -1) return;
    const marks = this.#marks[slot] as number;
    const counts = this.counts[path];
    if ((marks & SEEN[path]) === 0) counts.units += 1;
    if (failed && (marks & FAILED[path]) === 0) counts.unitsFailed += 1;
    this.#marks[slot] = marks | SEEN[path] | (failed ? FAILED[path] : 0);
  }

  #begin(minute: number): void {
    this.#minute = minute;
    if (this.#taken > 0) {
      this.#hashes.fill(0);
      this.#marks.fill(0);
    }
    this.#taken = 0;
    this.#mask = 0;
  }

  /** Where the hash stands, taken in if there is room for it; -1: it isn't counted. */
  #slotOf(hash: number): number {
    let slot = hash % SLOTS;
    for (let found = this.#hashes[slot]; found !== 0; found = this.#hashes[slot]) {
      if (found === hash) return slot;
      slot = (slot + 1) % SLOTS;
    }
    // The place in the table comes from the low bits, so the high ones decide who is taken in.
    if (this.#taken >= TAKEN_MAX || ((hash >>> 18) & this.#mask) !== 0) return -1;
    this.#hashes[slot] = hash;
    this.#taken += 1;
    if (this.#taken >= ALL_TAKEN_MAX && this.#taken % HALVED_EVERY === 0) this.#mask = (this.#mask << 1) | 1;
    return slot;
  }
}

/** FNV-1a, 32 bits, mixed so that its high bits are as good as its low ones (the finalizer of MurmurHash3); never 0. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash = (hash ^ (hash >>> 16)) >>> 0;
  return hash === 0 ? 1 : hash;
}
