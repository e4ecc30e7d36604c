import { expect, it } from 'vitest';
import { deprecationHeaders } from './deprecations.ts';

it('gives the headers as the RFCs write them', () => {
  const at = '2023-06-30T23:59:59Z';
  expect(deprecationHeaders({ at, sunset: '2018-12-31T23:59:59Z', link: 'https://docs.example.com/v1' })).toEqual({
    // The examples of RFC 9745, section 2.1, and RFC 8594, section 3.
    Deprecation: '@1688169599',
    Sunset: 'Mon, 31 Dec 2018 23:59:59 GMT',
    Link: '<https://docs.example.com/v1>; rel="deprecation", <https://docs.example.com/v1>; rel="sunset"',
  });
  expect(deprecationHeaders({ at, sunset: at, link: null })).not.toHaveProperty('Link');
});
