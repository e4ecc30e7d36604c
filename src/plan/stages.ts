/**
 * The stages of a read and write path, in order. Only from one to the next, up or down: two neighbours may be in force at
 * the same time, in different instances, without losing a write.
 */
export const STAGES = ['off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete'] as const;
export type Stage = (typeof STAGES)[number];

const stageIndex = (stage: Stage): number => STAGES.indexOf(stage);
export const isStage = (name: string): name is Stage => (STAGES as readonly string[]).includes(name);

/** The same stage, or its neighbour. */
export const areAdjacent = (one: Stage, other: Stage): boolean => Math.abs(stageIndex(one) - stageIndex(other)) <= 1;

/** The neighbour of `from` on the way to `to`; `to` itself where it is that already. */
export function nextStage(from: Stage, to: Stage): Stage {
  const at = stageIndex(from);
  return STAGES[at + Math.sign(stageIndex(to) - at)] ?? to;
}

/** From `live` on the new path answers; below it the old one does. */
export const answersNew = (stage: Stage): boolean => stageIndex(stage) >= stageIndex('live');
