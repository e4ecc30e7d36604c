import { expect, test } from 'vitest';
import { Units } from './units.ts';

test('a unit counts once a minute on each path, and once as failed', () => {
  const units = new Units();
  for (let n = 0; n < 100; n++) units.note('ana', 'new', n > 50, 1_000 + n);
  units.note('ana', 'old', false, 2_000);
  units.note('bo', 'new', false, 2_000);
  expect(units.counts).toEqual({ new: { units: 2, unitsFailed: 1 }, old: { units: 1, unitsFailed: 0 } });
  units.note('ana', 'new', true, 60_000);
  expect(units.counts.new).toEqual({ units: 3, unitsFailed: 2 });
});

test('up to 8,192 units are counted exactly, but for two whose hashes are the same', () => {
  const units = new Units();
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 8_000; n++) units.note(`user-${n}`, 'old', n % 10 === 0, 0);
  }
  expect(units.counts.old.units).toBeGreaterThanOrEqual(7_990);
  expect(units.counts.old.unitsFailed).toBeGreaterThanOrEqual(798);
  expect(units.counts.old.units).toBeLessThanOrEqual(8_000);
});

test('beyond that memory stays as it is, and the share of failed units stays true', () => {
  const units = new Units();
  for (let n = 0; n < 500_000; n++) units.note(`user-${n}`, 'new', n % 20 === 0, 0);
  const { units: seen, unitsFailed } = units.counts.new;
  expect(seen).toBeGreaterThan(8_192);
  expect(seen).toBeLessThanOrEqual(12_288);
  expect(unitsFailed / seen).toBeGreaterThan(0.043);
  expect(unitsFailed / seen).toBeLessThan(0.057);
});
