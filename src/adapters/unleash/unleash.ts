import { setTimeout } from 'node:timers/promises';
import { SwitchbackError } from '../../messages/index.ts';
import { AdminApi } from './admin-api.ts';
import {
  ABSENT,
  differences,
  type FlagState,
  type FlagStrategy,
  pairStrategies,
  sameJson,
  strategyDifferences,
} from './flag-state.ts';

const LIFECYCLE_STAGES = ['initial', 'archived'];
const LIFECYCLE_LOOK_EVERY_MS = 100;
const LIFECYCLE_MAX_MS = 5_000;
/** A tag that nobody gives a flag. */
const NUDGE_TAG = 'switchback-nudge';

/** Where a flag is, and what it is created with where it doesn't exist. */
export interface FlagRef {
  project: string;
  environment: string;
  flag: string;
  type: string;
  description: string;
}

/**
 * Flags of an Unleash server: reads the whole state of one in an environment, and brings it to a wanted state.
 *
 * `write` is idempotent and may be cut short at any point: what it leaves then satisfies `isBetween`, and calling it
 * again finishes. Who calls it owns the lock under which nobody else of ours writes the same flag.
 */
export class Unleash {
  readonly #api: AdminApi;

  constructor({ url, adminToken }: { url: string; adminToken: string }) {
    this.#api = new AdminApi(url, adminToken);
  }
  /** For messages; without credentials. */
  get address(): string {
    return this.#api.address;
  }

  /** Reads the flag whole. Throws `FlagRefused` where the project doesn't have the environment. */
  async read(ref: FlagRef, signal: AbortSignal): Promise<FlagState> {
    const { status, body } = await this.#api.request('GET', `${flagPath(ref)}?variantEnvironments=true`, {
      expected: [404],
      signal,
    });
    if (status === 404) return this.#readArchived(ref, signal);
    const environments = (body as { environments?: RawEnvironment[] } | null)?.environments;
    const ours = environments?.find((environment) => environment.name === ref.environment);
    if (environments === undefined || ours === undefined) {
      throw new SwitchbackError(
        'FlagRefused',
        `flag "${ref.flag}" has no environment "${ref.environment}" in project "${ref.project}" of Unleash`,
        {
          hint: `it has: ${environments?.map((environment) => environment.name).join(', ') ?? 'none'}`,
          fields: { flag: ref.flag },
        },
      );
    }
    return {
      exists: true,
      archived: false,
      enabled: ours.enabled,
      strategies: strategiesOf(ours.strategies),
      variants: ours.variants ?? [],
      elsewhere: environments
        .filter((other) => other !== ours && (other.enabled || (other.strategies ?? []).length > 0))
        .map((other) => other.name),
    };
  }

  /** The feature itself answers 404 when it is archived; its environments still answer. */
  async #readArchived(ref: FlagRef, signal: AbortSignal): Promise<FlagState> {
    const path = environmentPath(ref);
    const { status, body } = await this.#api.request('GET', path, { expected: [404], signal });
    if (status === 404) return ABSENT;
    const strategies = await this.#api.request('GET', `${path}/strategies`, { signal });
    const variants = await this.#api.request('GET', `${path}/variants`, { signal });
    return {
      exists: true,
      archived: true,
      enabled: (body as RawEnvironment).enabled,
      strategies: strategiesOf(strategies.body as RawStrategy[]),
      variants: (variants.body as { variants?: unknown[] }).variants ?? [],
      elsewhere: [],
    };
  }

  /**
   * Brings the flag to `target` and reads it back; answers with what is there then, ids included. Throws
   * `FlagChanged` where that isn't the target: somebody else writes it too.
   */
  async write(ref: FlagRef, target: FlagState, signal: AbortSignal): Promise<FlagState> {
    const actual = await this.read(ref, signal);
    if (differences(target, actual).length === 0) return actual;
    if (target.exists) await this.#shape(ref, actual, target, signal);
    else await this.#remove(ref, actual, signal);
    const after = await this.read(ref, signal);
    const different = differences(target, after);
    if (different.length > 0) throw flagChanged(ref, different);
    return after;
  }

  /**
   * Makes Unleash serve the flag anew, and changes nothing. It numbers what it serves by its newest event, and of two
   * changes at once the one with the lower number can be committed last: clients see that one with the next change
   * only. Writing a strategy once more doesn't help, because a change that changes nothing is no event (*seen* in 6.10,
   * 7.6 and 8.2); taking away a tag that the flag doesn't have is one. False where the flag doesn't exist: deleting it
   * was two events some time apart, the second of which serves the first.
   */
  async nudge(ref: FlagRef, signal: AbortSignal): Promise<boolean> {
    const path = `/features/${encode(ref.flag)}/tags/simple/${NUDGE_TAG}`;
    const { status } = await this.#api.request('DELETE', path, { expected: [404], signal });
    return status !== 404;
  }

  async #shape(ref: FlagRef, found: FlagState, target: FlagState, signal: AbortSignal): Promise<void> {
    if (!found.exists) await this.#create(ref, signal);
    if (found.archived) {
      await this.#api.request('POST', `/projects/${encode(ref.project)}/revive`, {
        body: { features: [ref.flag] },
        signal,
      });
    }
    // Less exposure first, more exposure last: off before and on after the strategies change.
    if (found.enabled && !target.enabled) await this.#switch(ref, 'off', signal);
    await this.#shapeStrategies(ref, found, target, signal);
    const now = await this.read(ref, signal);
    if (!sameJson(now.variants, target.variants)) {
      await this.#api.request('PUT', `${environmentPath(ref)}/variants`, { body: target.variants, signal });
    }
    // Unleash would add a strategy that lets everybody in to a flag that is switched on without an active one.
    const canBeOn = target.strategies.some((strategy) => !strategy.disabled);
    if (now.enabled !== target.enabled && (canBeOn || !target.enabled)) {
      await this.#switch(ref, target.enabled ? 'on' : 'off', signal);
    }
    if (target.archived) await this.#api.request('DELETE', flagPath(ref), { signal });
  }

  /** Active strategies first and deletions last: Unleash turns a flag off that has no active strategy left. */
  async #shapeStrategies(ref: FlagRef, found: FlagState, target: FlagState, signal: AbortSignal): Promise<void> {
    const path = `${environmentPath(ref)}/strategies`;
    const { pairs, missing, extra } = pairStrategies(target.strategies, found.strategies);
    const write = async (strategies: FlagStrategy[], disabled: boolean): Promise<void> => {
      for (const strategy of strategies.filter((candidate) => candidate.disabled === disabled)) {
        const id = pairs.find(([wanted]) => wanted === strategy)?.[1].id;
        const body = { ...strategy, id: undefined };
        if (id === undefined) await this.#api.request('POST', path, { body, signal });
        else await this.#api.request('PUT', `${path}/${encode(String(id))}`, { body, signal });
      }
    };
    const changed = pairs
      .filter(([wanted, is]) => strategyDifferences(wanted, is).length > 0)
      .map(([wanted]) => wanted);
    await write([...changed, ...missing], false);
    await write([...changed, ...missing], true);
    for (const strategy of extra)
      await this.#api.request('DELETE', `${path}/${encode(String(strategy.id))}`, { signal });
  }

  async #create(ref: FlagRef, signal: AbortSignal): Promise<void> {
    await this.#api.request('POST', `/projects/${encode(ref.project)}/features`, {
      body: { name: ref.flag, type: ref.type, description: ref.description, impressionData: false },
      signal,
    });
  }

  /** Archives and deletes. Refuses where the flag has meanwhile been put to use in another environment. */
  async #remove(ref: FlagRef, found: FlagState, signal: AbortSignal): Promise<void> {
    if (!found.exists) return;
    if (found.elsewhere.length > 0) throw flagChanged(ref, [`it is in use in ${found.elsewhere.join(', ')}`]);
    if (!found.archived) await this.#api.request('DELETE', flagPath(ref), { signal });
    await this.#awaitLifecycle(ref, signal);
    await this.#api.request('DELETE', `/archive/${encode(ref.flag)}`, { signal });
  }

  /**
   * Unleash notes the stages of a flag's life about a second after they happen. A flag that is deleted in between
   * makes that fail on a foreign key, unhandled, and the whole server of version 7.6.5 ends (*seen*).
   */
  async #awaitLifecycle(ref: FlagRef, signal: AbortSignal): Promise<void> {
    const end = performance.now() + LIFECYCLE_MAX_MS;
    while (performance.now() < end) {
      const { status, body } = await this.#api.request('GET', `${flagPath(ref)}/lifecycle`, {
        // Where Unleash keeps no lifecycle, there is nothing to wait for.
        expected: [403, 404],
        signal,
      });
      const stages = Array.isArray(body) ? (body as { stage?: string }[]).map(({ stage }) => stage) : [];
      if (status !== 200 || LIFECYCLE_STAGES.every((stage) => stages.includes(stage))) return;
      await setTimeout(LIFECYCLE_LOOK_EVERY_MS);
    }
  }

  async #switch(ref: FlagRef, to: 'on' | 'off', signal: AbortSignal): Promise<void> {
    await this.#api.request('POST', `${environmentPath(ref)}/${to}`, { signal });
  }
}

/** Someone else changed the flag: a person decides. `different` says how (see `differences`). */
export const flagChanged = (ref: FlagRef, different: readonly string[]): SwitchbackError =>
  new SwitchbackError(
    'FlagChanged',
    `someone else changed flag "${ref.flag}" (project ${ref.project}, environment ${ref.environment}): ${different.join('; ')}`,
    {
      hint: 'set the flag back to what the step made it and `retry`, or `skip` the step to leave the flag as it is now',
      fields: { flag: ref.flag, project: ref.project, environment: ref.environment, hold: true },
    },
  );

interface RawStrategy {
  id: string;
  name: string;
  title?: string | null;
  disabled?: boolean | null;
  sortOrder?: number | null;
  constraints?: unknown[] | null;
  parameters?: Record<string, unknown> | null;
  segments?: number[] | null;
  variants?: unknown[] | null;
}
interface RawEnvironment {
  name: string;
  enabled: boolean;
  strategies?: RawStrategy[];
  variants?: unknown[] | null;
}

const strategiesOf = (raw: readonly RawStrategy[] = []): FlagStrategy[] =>
  raw
    .map((strategy) => ({
      id: strategy.id,
      name: strategy.name,
      title: strategy.title ?? '',
      disabled: strategy.disabled ?? false,
      sortOrder: strategy.sortOrder ?? 0,
      constraints: strategy.constraints ?? [],
      parameters: Object.fromEntries(
        Object.entries(strategy.parameters ?? {}).map(([key, value]) => [key, String(value)]),
      ),
      segments: (strategy.segments ?? []).toSorted((a, b) => a - b),
      variants: strategy.variants ?? [],
    }))
    .toSorted((a, b) => a.sortOrder - b.sortOrder || (a.id < b.id ? -1 : 1));

const encode = encodeURIComponent;
const flagPath = (ref: FlagRef): string => `/projects/${encode(ref.project)}/features/${encode(ref.flag)}`;
const environmentPath = (ref: FlagRef): string => `${flagPath(ref)}/environments/${encode(ref.environment)}`;
