import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The credentials of a data directory's servers: made once, kept beside the data that they open. */
export interface Secrets {
  postgresPassword: string;
  unleashAdminToken: string;
  unleashClientToken: string;
  unleashSecret: string;
}

const FILE = 'secrets.json';
const word = (): string => randomBytes(24).toString('hex');

export function secretsOf(dataDir: string): Secrets {
  const file = join(dataDir, FILE);
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Secrets;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const secrets: Secrets = {
    postgresPassword: word(),
    // Unleash's formats: PROJECT:ENVIRONMENT.SECRET, where `*` is all of them.
    unleashAdminToken: `*:*.${word()}`,
    unleashClientToken: `*:development.${word()}`,
    unleashSecret: word(),
  };
  writeFileSync(file, JSON.stringify(secrets, null, 2), { mode: 0o600, flag: 'wx' });
  return secrets;
}
