import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { openRepairs } from '../../src/adapters/postgres/switch-repairs.ts';
import { ACTS } from '../../src/switch/stage.ts';
import { createSwitch, type Stage, STAGES } from '../../src/switch/index.ts';
import { ledgerOfFile, type Place, sqlError, until } from './place.ts';

/**
 * Random writers at several instances, random failures of either side, instances that are cut off from the ledger for longer
 * than their lease, and an engine that takes the path up and down meanwhile, by the rules: one stage at a time,
 * acknowledged by everyone with a lease, with an empty queue. No write that was answered is ever missing where it counts.
 *
 * The seed decides who does what; how it interleaves is up to the machine. `SWITCH_SEED` tries another one.
 */
const SEED = Number(process.env['SWITCH_SEED'] ?? 20_261_130);
const INSTANCES = 3;
const MOVES = 12;
const KEYS = 40;
const FAILING_SHARE = 0.03;
const CUT_SHARE = 0.3;

const place = ledgerOfFile();

function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Holds what was ever written under each key, so that nothing written over is mistaken for something lost. */
class Sets {
  readonly held = new Map<string, Set<string>>();
  fails = true;
  readonly #random: () => number;
  constructor(random: () => number) {
    this.#random = random;
  }
  add(key: string, values: Iterable<string>): void {
    const set = this.held.get(key) ?? new Set();
    for (const value of values) set.add(value);
    this.held.set(key, set);
  }
  read = async (key: string): Promise<number> => this.held.get(key)?.size ?? 0;
  write = async (key: string, value: string): Promise<void> => {
    await pause(this.#random() * 4);
    const fate = this.fails ? this.#random() / FAILING_SHARE : 1;
    if (fate < 0.6) throw sqlError('53300');
    this.add(key, [value]);
    // Written, and its answer lost.
    if (fate < 1) throw sqlError('08006');
    await pause(this.#random() * 2);
  };
}

interface Written {
  key: string;
  value: string;
}

class World {
  readonly random = randomOf(SEED);
  readonly sides = { old: new Sets(this.random), new: new Sets(this.random) };
  readonly cut = new Set<number>();
  answered: Written[] = [];
  refused = 0;
  #ended = false;
  #values = 0;

  service(here: Place, number: number) {
    const names = createSwitch({
      ...{ flag: here.flag, ...this.sides, key: (key: string) => key, service: `s${number}`, sample: 0.5 },
      ...{ beatMs: 30, leaseMs: 300, repairEveryMs: 50, random: this.random, journal: number === 0 },
      ledger: {
        query: (text: string, values: unknown[]) =>
          this.cut.has(number) ? Promise.reject(sqlError('ECONNREFUSED')) : here.pool.query(text, values),
      },
      // As a service does it that holds the key's lock: what the other side holds is there afterwards.
      repair: async (key, lacking) => {
        await pause(this.random() * 3);
        this.sides[lacking].add(key, this.sides[lacking === 'old' ? 'new' : 'old'].held.get(key) ?? []);
      },
    });
    onTestFinished(() => names.close());
    return names;
  }

  async writer(names: ReturnType<World['service']>): Promise<void> {
    while (!this.#ended) {
      const written = { key: `k${Math.floor(this.random() * KEYS)}`, value: `v${++this.#values}` };
      await names.write(written.key, written.value).then(
        () => this.answered.push(written),
        () => (this.refused += 1),
      );
      await pause(this.random() * 20);
    }
  }
  end(): void {
    this.#ended = true;
  }

  missing(from: 'old' | 'new', of: readonly Written[]): string[] {
    return of
      .filter(({ key, value }) => !this.sides[from].held.get(key)?.has(value))
      .map(({ key, value }) => `${key}=${value}`);
  }

  /** What a plan's backfill does after the first stage that writes both, in either direction. */
  copyAll(from: 'old' | 'new', to: 'old' | 'new'): void {
    for (const [key, values] of this.sides[from].held) this.sides[to].add(key, values);
  }
}

test('no write that was answered is ever missing where it counts', { timeout: 120_000 }, async () => {
  const here = place();
  await here.setStage('dual-write');
  const world = new World();
  const database = new Database('home', { url: here.url });
  onTestFinished(() => database.close());
  const ref = { environment: 'development', flag: here.flag };
  /** A key that lacks on both sides is for a person, who here gives each side what the other has. */
  const person = async (): Promise<void> => {
    const { rows } = await here.pool.query<{ key: string }>(
      'SELECT key FROM switchback.repairs WHERE flag = $1 GROUP BY key HAVING count(DISTINCT side) = 2',
      [here.flag],
    );
    for (const { key } of rows) {
      await here.pool.query('DELETE FROM switchback.repairs WHERE flag = $1 AND key = $2', [here.flag, key]);
      for (const side of ['old', 'new'] as const)
        world.sides[side].add(key, world.sides[side === 'old' ? 'new' : 'old'].held.get(key) ?? []);
    }
  };
  const drained = (): Promise<true> =>
    until(async () => {
      const { open, bothSides } = await openRepairs(database, ref);
      if (bothSides > 0) await person();
      return open === 0;
    });
  const services = Array.from({ length: INSTANCES }, (_, number) => world.service(here, number));
  await Promise.all(services.map((names) => names.ready()));
  const writers = services.flatMap((names) => [world.writer(names), world.writer(names)]);

  let stage: Stage = 'dual-write';
  for (let move = 0; move < MOVES; move++) {
    // One instance may lose the ledger while the stage changes: it is waited for until its lease ends, and then no more.
    const lost = Math.floor(world.random() * INSTANCES);
    if (world.random() < CUT_SHARE) world.cut.add(lost);
    await drained();
    const at: number = STAGES.indexOf(stage);
    const up = at === 0 || (at < STAGES.length - 1 && world.random() < 0.65);
    const from: Stage = stage;
    stage = STAGES[at + (up ? 1 : -1)] as Stage;
    await here.acknowledged(await here.setStage(stage));
    const after = [...world.answered];
    if (from === 'off') world.copyAll('old', 'new');
    if (from === 'complete') world.copyAll('new', 'old');
    await drained();
    const { reads, writes } = ACTS[stage];
    const places = [reads, ...(writes[1] === null ? [] : (['old', 'new'] as const))];
    for (const side of places) expect(world.missing(side, after), `seed ${SEED}, ${from} to ${stage}`).toEqual([]);
    await pause(world.random() * 60);
    if (world.random() < 0.6) world.cut.clear();
  }
  world.cut.clear();
  world.end();
  await Promise.all(writers);
  await drained();
  expect(world.missing(ACTS[stage].reads, world.answered), `seed ${SEED}`).toEqual([]);
  // The test has seen what it is about.
  expect(world.answered.length, `seed ${SEED}`).toBeGreaterThan(100);
  expect(world.refused).toBeGreaterThan(5);
});
