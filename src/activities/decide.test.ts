import { expect, test } from 'vitest';
import { judge } from './decide.ts';

const approvers = { dba: ['ana@example.com'], 'service-owner': ['bo@example.com'] };
const asked = { requestedBy: 'cy@example.com', roles: ['dba'], notRequester: true };

test.each([
  ['one who holds the role', { ...asked, by: 'ana@example.com' }, true],
  ['one who holds another role', { ...asked, by: 'bo@example.com' }, false],
  ['one who is not known', { ...asked, by: 'eve@example.com' }, false],
  ['the requester, where that is excluded', { ...asked, by: 'ana@example.com', requestedBy: 'ana@example.com' }, false],
  [
    'the requester, where that is allowed',
    { ...asked, by: 'ana@example.com', requestedBy: 'ana@example.com', notRequester: false },
    true,
  ],
  ['anyone, where no role is asked for', { ...asked, by: 'eve@example.com', roles: [] }, true],
  ['one of a role that nobody holds', { ...asked, by: 'ana@example.com', roles: ['cto'] }, false],
])('%s', (_, input, allowed) => {
  expect(judge(approvers, input)).toMatchObject({ allowed });
});
