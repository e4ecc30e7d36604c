import type { Condition } from '../../plan/index.ts';

/** What was found when a condition was looked at. */
export interface ConditionReading {
  holds: boolean;
  /** The value found, as text; null where there was none. */
  observed: string | null;
  /** One sentence for people: what was found and what would be needed. */
  reason: string;
}
export class Conditions {
  async read(_condition: Condition, _signal: AbortSignal): Promise<ConditionReading> {
    throw new Error('room under construction');
  }
}
