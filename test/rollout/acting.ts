import { setInterval } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { ABSENT, exposureOf } from '../../src/adapters/unleash/flag-state.ts';
import type { FlagRef } from '../../src/adapters/unleash/unleash.ts';
import type { Room } from './room.ts';

const FOLLOW_EVERY_MS = 100;

/** An instance of a service as the ledger knows it: what it says is what the test makes it say. */
export interface Acting {
  says(what: { stage?: string; generation?: number; exposure?: number }): Promise<void>;
  /** Says from now on what row and flag tell it, as soon as they do. */
  follows(): void;
  stopsFollowing(): void;
  /** Its lease has run out. */
  dies(): Promise<void>;
}

export function acting(here: Room, ref: FlagRef, instance: string, service = 'accounts'): Acting {
  const { database } = here.deps.home;
  let following: AbortController | null = null;
  const says: Acting['says'] = async ({ stage = 'off', generation = 0, exposure = 0 }) => {
    await database.query(
      `INSERT INTO switchback.instances (environment, flag, instance, service, stage, generation, exposure, lease_until)
       VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + interval '1 hour')
       ON CONFLICT (environment, flag, instance) DO UPDATE SET stage = excluded.stage, generation = excluded.generation,
         exposure = excluded.exposure, seen_at = clock_timestamp(), lease_until = excluded.lease_until`,
      [ref.environment, ref.flag, instance, service, stage, generation, exposure],
    );
  };
  const follow = async (signal: AbortSignal): Promise<void> => {
    let said = '';
    for await (const _ of setInterval(FOLLOW_EVERY_MS, undefined, { signal })) {
      const [row] = await database.query(
        'SELECT stage, generation FROM switchback.stages WHERE environment = $1 AND flag = $2',
        [ref.environment, ref.flag],
      );
      // A flag that is just being deleted can't be read as a whole.
      const state = await here.unleash.read(ref, signal).catch(() => null);
      if (state === null) continue;
      const exposure = exposureOf(state);
      const now = { stage: row?.['stage'] ?? 'off', generation: Number(row?.['generation'] ?? 0), exposure };
      if (JSON.stringify(now) !== said) await says(now);
      said = JSON.stringify(now);
    }
  };
  const stopsFollowing = (): void => following?.abort();
  onTestFinished(stopsFollowing);
  return {
    says,
    stopsFollowing,
    follows() {
      following = new AbortController();
      follow(following.signal).catch(() => undefined);
    },
    async dies() {
      stopsFollowing();
      await database.query(
        "UPDATE switchback.instances SET lease_until = clock_timestamp() - interval '1 ms' WHERE environment = $1 AND flag = $2 AND instance = $3",
        [ref.environment, ref.flag, instance],
      );
    },
  };
}

/** A flag that was there before, off and without strategies: taking a step back needn't wait until Unleash lets it go. */
export async function existing(here: Room, ref: FlagRef): Promise<void> {
  await here.unleash.write(ref, { ...ABSENT, exists: true }, new AbortController().signal);
}
