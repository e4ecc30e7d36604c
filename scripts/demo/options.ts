import { parseArgs } from 'node:util';

export interface DemoOptions {
  /** Ship a bug in the new read path, and see the migration roll back. */
  breaks: boolean;
  /** Leave everything up after the end. */
  keep: boolean;
  /** Approve by itself instead of waiting for a person. */
  yes: boolean;
  users: number;
  help: boolean;
}

const USERS = 300_000;
/** Names and strides of the generator are made for up to so many. */
const USERS_MAX = 5_000_000;

export const USAGE = `npm run demo -- [--break] [--keep] [--yes] [--users N]

  --break    ship a bug in the new read path: the migration rolls back by itself
  --keep     leave everything up after the end, until Ctrl-C
  --yes      approve by itself; so it does where there is no terminal
  --users N  how many users each service has (${USERS})`;

/** @throws TypeError where an argument isn't known or isn't right */
export function readOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      break: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      users: { type: 'string', default: String(USERS) },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const users = Number(values.users);
  if (!Number.isInteger(users) || users < 1000 || users > USERS_MAX) {
    throw new TypeError(`--users must be a whole number from 1000 to ${USERS_MAX}, not "${values.users}"`);
  }
  return { breaks: values.break, keep: values.keep, yes: values.yes, users, help: values.help };
}
