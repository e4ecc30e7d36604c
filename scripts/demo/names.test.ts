import { expect, test } from 'vitest';
import { joinName, nameAt, splitName } from './names.ts';

const NAMES = Array.from({ length: 40_000 }, (_, index) => nameAt(index + 1));

test('every name survives being split and joined again', () => {
  expect(NAMES.filter((name) => joinName(splitName(name)) !== name)).toEqual([]);
});

test.each([
  ['one word', (name: string) => name !== '' && !name.includes(' ')],
  ['four words', (name: string) => /^\S+ \S+ \S+ \S+$/u.test(name)],
  ['accents', (name: string) => name.normalize('NFD') !== name],
  ['accents as combining marks', (name: string) => name.normalize('NFC') !== name],
  ['emoji', (name: string) => /\p{Extended_Pictographic}/u.test(name)],
  ['spaces in front', (name: string) => /^ +\S/u.test(name)],
  ['a space at the end', (name: string) => /\S $/u.test(name)],
  ['two spaces in the middle', (name: string) => /\S {2}\S/u.test(name)],
  ['nothing at all', (name: string) => name === ''],
  ['just a space', (name: string) => name === ' '],
])('there are names with %s', (_, matches) => {
  expect(NAMES.filter(matches).length).toBeGreaterThan(50);
});

test('a name without a space and one that ends in its only space stay different', () => {
  expect(splitName('Ana')).toEqual({ given: 'Ana', family: null });
  expect(splitName('Ana ')).toEqual({ given: 'Ana', family: '' });
  expect(splitName(' Ana')).toEqual({ given: '', family: 'Ana' });
});
