import { setTimeout } from 'node:timers/promises';
import { SwitchbackError } from '../../messages/index.ts';
import { AdminApi } from './admin-api.ts';
import * as answers from './answers.ts';
import {
  ABSENT,
  differences,
  type FlagState,
  type FlagStrategy,
  pairStrategies,
  sameJson,
  strategyDifferences,
} from './flag-state.ts';
import type { Prerequisite } from './prerequisites.ts';

const LIFECYCLE_STAGES = ['initial', 'archived'];
const LIFECYCLE_LOOK_EVERY_MS = 100;
const LIFECYCLE_MAX_MS = 5_000;
/** A tag that nobody gives a flag. */
const NUDGE_TAG = 'switchback-nudge';

/** Majors of unleash-server that the tests run against. */
const KNOWN_MAJORS = ['6', '7', '8'];

/** Says that a version is not one that we know to work; null for one that is. */
export const strangeVersion = (version: string | null): string | null =>
  KNOWN_MAJORS.includes(version?.split('.')[0] ?? '')
    ? null
    : `Unleash's version is ${version ?? 'not said'}; those known to work are ${KNOWN_MAJORS.join(', ')}`;

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

  /** Reads the flag whole. Throws `FlagRefused` where the project doesn't have the environment, or another one the flag. */
  async read(ref: FlagRef, signal: AbortSignal): Promise<FlagState> {
    const path = `${flagPath(ref)}?variantEnvironments=true`;
    const { status, body } = await this.#api.request('GET', path, { expected: [404], signal });
    if (status === 404) {
      assertInProject(ref, body);
      return this.#readArchived(ref, signal);
    }
    const { environments, dependencies, children, description } = await this.#api.parse(
      path,
      answers.feature,
      body,
      signal,
    );
    const ours = environments.find((environment) => environment.name === ref.environment);
    if (ours === undefined) throw noEnvironment(ref, environments);
    return {
      exists: true,
      archived: false,
      enabled: ours.enabled,
      strategies: ours.strategies,
      variants: ours.variants,
      elsewhere: environments
        .filter((other) => other !== ours && (other.enabled || other.strategies.length > 0))
        .map(({ name, enabled, strategies }) => ({ environment: name, enabled, strategies: strategies.length })),
      dependencies,
      children,
      description: description ?? '',
    };
  }

  /** The feature itself answers 404 when it is archived; its environments still answer. Archiving takes dependencies away. */
  async #readArchived(ref: FlagRef, signal: AbortSignal): Promise<FlagState> {
    const path = environmentPath(ref);
    const environment = await this.#api.read(path, answers.environmentOfArchived, { expected: [404], signal });
    if (environment === null) return ABSENT;
    const strategies = await this.#api.read(`${path}/strategies`, answers.strategies, { signal });
    const variants = await this.#api.read(`${path}/variants`, answers.variantsOfArchived, { expected: [404], signal });
    return {
      exists: true,
      archived: true,
      enabled: environment.enabled,
      strategies: strategies ?? [],
      variants: variants?.variants ?? [],
      elsewhere: [],
      dependencies: [],
    };
  }

  /** The flags that this one depends on, as they are in its environment. */
  async prerequisites(ref: FlagRef, state: FlagState, signal: AbortSignal): Promise<Prerequisite[]> {
    const found: Prerequisite[] = [];
    for (const dependency of state.dependencies ?? []) {
      // Unleash takes only flags of the same project for it.
      found.push({ ...dependency, parent: await this.read({ ...ref, flag: dependency.feature }, signal) });
    }
    return found;
  }

  /** Throws `FlagRefused` where there is no such project, or it doesn't have the environment. */
  async assertPlace(ref: FlagRef, signal: AbortSignal): Promise<void> {
    const path = `/environments/project/${encode(ref.project)}`;
    const { environments } = (await this.#api.read(path, answers.projectEnvironments, { signal })) ?? {
      environments: [],
    };
    const ofProject = environments.filter(({ visible }) => visible);
    if (ofProject.some(({ name }) => name === ref.environment)) return;
    const { projects } = (await this.#api.read('/projects', answers.projects, { signal })) ?? { projects: [] };
    const ids = projects.map(({ id }) => id);
    if (ofProject.length > 0 || ids.includes(ref.project)) throw noEnvironment(ref, ofProject);
    throw new SwitchbackError(
      'FlagRefused',
      `there is no project "${ref.project}" in Unleash for flag "${ref.flag}", or it is archived or not for this token`,
      { hint: `it has: ${ids.join(', ') || 'none'}`, fields: { flag: ref.flag, project: ref.project } },
    );
  }

  /** The server's version. Throws what any request throws: so that a start can tell what steps will meet. */
  async version(signal: AbortSignal): Promise<string | null> {
    return this.#api.version(signal);
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
    if (!target.archived) return;
    // A strategy elsewhere is as old as the flag; somebody who switched it on there did so since it was revived.
    assertUnused(
      ref,
      now,
      now.elsewhere.filter(({ enabled }) => enabled),
    );
    await this.#api.request('DELETE', flagPath(ref), { signal });
  }

  /** Active strategies first and deletions last: Unleash turns a flag off that has no active strategy left. */
  async #shapeStrategies(ref: FlagRef, found: FlagState, target: FlagState, signal: AbortSignal): Promise<void> {
    const path = `${environmentPath(ref)}/strategies`;
    const { pairs, missing, extra } = pairStrategies(target.strategies, found.strategies);
    const write = async (strategies: FlagStrategy[], disabled: boolean): Promise<void> => {
      for (const strategy of strategies.filter((candidate) => candidate.disabled === disabled)) {
        const id = pairs.find(([wanted]) => wanted === strategy)?.[1].id;
        const body = { ...strategy, id: undefined };
        const [method, at] =
          id === undefined ? (['POST', path] as const) : (['PUT', `${path}/${encode(String(id))}`] as const);
        const { status } = await this.#api.request(method, at, { body, expected: [404], signal });
        if (status === 404) throw await this.#strategyRefused(ref, strategy, signal);
      }
    };
    const changed = pairs
      .filter(([wanted, is]) => strategyDifferences(wanted, is).length > 0)
      .map(([wanted]) => wanted);
    await write([...changed, ...missing], false);
    await write([...changed, ...missing], true);
    for (const strategy of extra) {
      const at = `${path}/${encode(String(strategy.id))}`;
      await this.#api.request('DELETE', at, { expected: [404], signal });
    }
  }

  /** Why a strategy found something missing: a segment that was deleted, or else the flag or the strategy itself. */
  async #strategyRefused(ref: FlagRef, strategy: FlagStrategy, signal: AbortSignal): Promise<SwitchbackError> {
    const gone: number[] = [];
    for (const id of strategy.segments) {
      const there = await this.#api.read(`/segments/${id}`, answers.segment, { expected: [404], signal });
      if (there === null) gone.push(id);
    }
    const name = strategy.title === '' ? strategy.name : strategy.title;
    if (gone.length === 0) return flagChanged(ref, [`strategy "${name}" or the flag itself went away at this moment`]);
    return flagChanged(ref, [`strategy "${name}" refers to segment ${gone.join(', ')}, which is gone`]);
  }

  /** Looks at project and environment first: a flag that can be created and not changed would be left behind. */
  async #create(ref: FlagRef, signal: AbortSignal): Promise<void> {
    await this.assertPlace(ref, signal);
    const { status, body } = await this.#api.request('POST', `/projects/${encode(ref.project)}/features`, {
      body: { name: ref.flag, type: ref.type, description: ref.description, impressionData: false },
      expected: [409],
      signal,
    });
    if (status !== 409) return;
    const now = await this.read(ref, signal);
    if (now.exists) throw flagChanged(ref, [`it was ${now.archived ? 'archived' : 'created'} at this moment`]);
    const { message } = (body ?? {}) as { message?: string };
    throw new SwitchbackError('FlagRefused', `Unleash doesn't create flag "${ref.flag}": ${message ?? 'it exists'}`, {
      hint: 'a name is taken in all projects of an Unleash, by archived flags too',
      fields: { flag: ref.flag, project: ref.project },
    });
  }

  /** Archives and deletes. Refuses where the flag has meanwhile been put to use in another environment or by another flag. */
  async #remove(ref: FlagRef, found: FlagState, signal: AbortSignal): Promise<void> {
    if (!found.exists) return;
    assertUnused(ref, found, found.elsewhere);
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
      // Where Unleash keeps no lifecycle, there is nothing to wait for.
      const stages = await this.#api.read(`${flagPath(ref)}/lifecycle`, answers.lifecycle, {
        expected: [403, 404],
        signal,
      });
      if (stages === null || LIFECYCLE_STAGES.every((name) => stages.some(({ stage }) => stage === name))) return;
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

/** Unleash keeps names once for all projects; of one elsewhere it says where (6 to 8), and 6 shows its environments. */
function assertInProject(ref: FlagRef, body: unknown): void {
  const { message } = (body ?? {}) as { message?: unknown };
  const other = typeof message === 'string' ? /with that name in project "([^"]+)"/.exec(message)?.[1] : undefined;
  if (other === undefined) return;
  throw new SwitchbackError('FlagRefused', `flag "${ref.flag}" is in project "${other}", not in "${ref.project}"`, {
    hint: `say \`project: ${other}\` for it under spec.flags, or give the flag another name`,
    fields: { flag: ref.flag, project: ref.project },
  });
}

const noEnvironment = (ref: FlagRef, has: readonly { name: string }[]): SwitchbackError =>
  new SwitchbackError(
    'FlagRefused',
    `flag "${ref.flag}" has no environment "${ref.environment}" in project "${ref.project}" of Unleash`,
    {
      hint: `it has: ${has.map(({ name }) => name).join(', ') || 'none'}`,
      fields: { flag: ref.flag, project: ref.project, environment: ref.environment },
    },
  );

function assertUnused(ref: FlagRef, found: FlagState, elsewhere: FlagState['elsewhere']): void {
  const uses = [
    ...(elsewhere.length > 0 ? [`it is in use in ${elsewhere.map(({ environment }) => environment).join(', ')}`] : []),
    ...((found.children ?? []).length > 0 ? [`flag ${(found.children ?? []).join(', ')} depends on it`] : []),
  ];
  if (uses.length > 0) throw flagChanged(ref, uses);
}

const encode = encodeURIComponent;
const flagPath = (ref: FlagRef): string => `/projects/${encode(ref.project)}/features/${encode(ref.flag)}`;
const environmentPath = (ref: FlagRef): string => `${flagPath(ref)}/environments/${encode(ref.environment)}`;
