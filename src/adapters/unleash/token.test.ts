import { expect, test } from 'vitest';
import { kindOfToken } from './token.ts';

test.each([
  ['', 'an empty token'],
  ['user:5f1c', 'a personal access or service account token'],
  ['*:*.5f1c', 'an admin token'],
  ['*:development.5f1c', 'a token of one environment, for clients (backend or frontend)'],
  ['[]:development.5f1c', 'a token of one environment, for clients (backend or frontend)'],
  ['default:production.v2_5f1c_77', 'a token of one environment, for clients (backend or frontend)'],
  ['hunter2', 'nothing that looks like a token of Unleash (`*:*.…` or `user:…`)'],
])('%j is %s', (token, kind) => {
  expect(kindOfToken(token)).toBe(kind);
});
