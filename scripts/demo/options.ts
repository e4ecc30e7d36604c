import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export interface DemoOptions {
  /** Ship a bug in the new read path, and see the migration roll back. */
  breaks: boolean;
  /** Leave everything up after the end. */
  keep: boolean;
  /** Approve by itself instead of waiting for a person. */
  yes: boolean;
  users: number;
  /** Where everything is kept; wiped at the start. */
  dir: string;
  help: boolean;
}

const USERS = 300_000;
const DIRECTORY = '.switchback/demo';
/** Names and strides of the generator are made for up to so many. */
const USERS_MAX = 5_000_000;

export const USAGE = `npm run demo -- [--break] [--keep] [--yes] [--users N] [--dir DIR]

  --break    ship a bug in the new read path: the migration rolls back by itself
  --keep     leave everything up after the end, until Ctrl-C
  --yes      approve by itself; so it does where there is no terminal
  --users N  how many users each service has (${USERS})
  --dir DIR  where everything is kept, wiped at the start (${DIRECTORY})`;

/** @throws TypeError where an argument isn't known or isn't right */
export function readOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      break: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      users: { type: 'string', default: String(USERS) },
      dir: { type: 'string', default: DIRECTORY },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const users = Number(values.users);
  if (!Number.isInteger(users) || users < 1000 || users > USERS_MAX) {
    throw new TypeError(`--users must be a whole number from 1000 to ${USERS_MAX}, not "${values.users}"`);
  }
  return {
    breaks: values.break,
    keep: values.keep,
    yes: values.yes,
    users,
    dir: resolve(values.dir),
    help: values.help,
  };
}
