import { createHash } from 'node:crypto';
import type { RunRef } from '../../messages/index.ts';

/** Ten hex digits that name a step of a plan's version, in every epoch: what it makes in a database is called after it. */
export const stepHash = ({ migration, version }: Pick<RunRef, 'migration' | 'version'>, step: string): string =>
  createHash('sha256')
    .update(JSON.stringify([migration, version, step]))
    .digest('hex')
    .slice(0, 10);
