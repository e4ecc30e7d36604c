import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GOOD_ROUNDS, type Reading, RISE, SHARE_MIN, ThrottleLadder } from './throttle.ts';

const OK: Reading = { verdict: 'ok', words: 'all is well' };
const BAD: Reading = { verdict: 'bad', words: 'replica 1 is 3.2 s behind, 2 s allowed' };
const SILENT: Reading = { verdict: 'no answer', words: 'replica 1 does not answer' };
const HARD: Reading = { verdict: 'bad', words: 'an autovacuum to prevent wraparound is running', hard: true };
const SOFT: Reading = { verdict: 'bad', words: 'dead rows', lowest: SHARE_MIN };

const sharesOf = (rounds: readonly (readonly Reading[])[], ladder = new ThrottleLadder()): number[] =>
  rounds.map((round) => {
    ladder.observe(round);
    return ladder.share;
  });
const times = (count: number, reading: Reading): Reading[][] => Array.from({ length: count }, () => [reading]);

test('every bad round halves at once, down to standing still', () => {
  expect(sharesOf(times(6, BAD))).toEqual([1 / 2, 1 / 4, 1 / 8, 1 / 16, 0, 0]);
});

test('a probe that does not answer counts as a bad one', () => {
  expect(sharesOf(times(6, SILENT))).toEqual(sharesOf(times(6, BAD)));
});

test('several bad readings of one round halve once, and all of them are the reason', () => {
  const ladder = new ThrottleLadder();
  expect(sharesOf([[BAD, OK, SILENT, BAD]], ladder)).toEqual([1 / 2]);
  expect(ladder.reasons).toEqual([BAD.words, SILENT.words]);
});

test('a hard reason stands it still at once', () => {
  expect(sharesOf([[OK, HARD]])).toEqual([0]);
});

test('recovers in steps, each after good rounds in a row, and forgets the reason at full speed', () => {
  const ladder = new ThrottleLadder();
  sharesOf([[HARD]], ladder);
  expect(sharesOf(times(GOOD_ROUNDS, OK), ladder)).toEqual([0, 0, RISE]);
  expect(ladder.recovering).toBe(true);
  expect(ladder.reasons).toEqual([HARD.words]);
  const shares = sharesOf(times(GOOD_ROUNDS * 7, OK), ladder);
  expect(shares.at(-1)).toBe(1);
  expect(ladder.recovering).toBe(false);
  expect(ladder.reasons).toEqual([]);
});

test('a reason that standing still would not mend slows down and never stops, also after one that did', () => {
  const ladder = new ThrottleLadder();
  expect(sharesOf(times(6, SOFT), ladder).at(-1)).toBe(SHARE_MIN);
  expect(sharesOf([[SOFT, BAD]], ladder)).toEqual([0]);
  expect(sharesOf(times(GOOD_ROUNDS * 3, SOFT), ladder).at(-1)).toBe(SHARE_MIN);
});

const reading = fc.constantFrom(OK, OK, OK, BAD, SILENT, HARD, SOFT);
const rounds = fc.array(fc.array(reading, { minLength: 1, maxLength: 4 }), { maxLength: 200 });

test('whatever comes: within 0 and 1, never between 0 and the smallest share, never up in a bad round beyond its floor', () => {
  fc.assert(
    fc.property(rounds, (all) => {
      const ladder = new ThrottleLadder();
      for (const round of all) {
        const before = ladder.share;
        ladder.observe(round);
        const { share } = ladder;
        expect(share === 0 || (share >= SHARE_MIN && share <= 1)).toBe(true);
        const bad = round.filter(({ verdict }) => verdict !== 'ok');
        if (bad.length === 0) expect(share).toBeGreaterThanOrEqual(before);
        else expect(share).toBeLessThanOrEqual(Math.max(before / 2, SHARE_MIN));
        expect(share < 1).toBe(ladder.reasons.length > 0);
      }
    }),
  );
});

test('never flaps: between a fall and the next rise lie as many good rounds as are asked, and rises are small', () => {
  fc.assert(
    fc.property(rounds, (all) => {
      const ladder = new ThrottleLadder();
      let goodInARow = 0;
      for (const round of all.map((readings) => readings.filter((one) => one !== SOFT))) {
        const before = ladder.share;
        ladder.observe(round);
        goodInARow = round.every(({ verdict }) => verdict === 'ok') ? goodInARow + 1 : 0;
        if (ladder.share <= before) continue;
        expect(goodInARow).toBeGreaterThanOrEqual(GOOD_ROUNDS);
        expect(ladder.share - before).toBeLessThanOrEqual(RISE);
      }
    }),
  );
});

test('a probe that is good and bad in turns holds the share down instead of tossing it about', () => {
  const turns = Array.from({ length: 40 }, (_, at) => [at % 2 === 0 ? BAD : OK]);
  const shares = sharesOf(turns);
  expect(shares.every((share, at) => share <= (shares[at - 1] ?? 1))).toBe(true);
});

test('comes back to full speed from anywhere once all stays well', () => {
  fc.assert(
    fc.property(rounds, (all) => {
      const ladder = new ThrottleLadder();
      sharesOf(all, ladder);
      expect(sharesOf(times(GOOD_ROUNDS * Math.ceil(1 / RISE) + GOOD_ROUNDS, OK), ladder).at(-1)).toBe(1);
    }),
  );
});
