/** Placeholder replaced by the rollout room. */
export class Unleash {}
