import { onTestFinished } from 'vitest';
import { type DatabaseUrls, Databases } from '../../src/adapters/postgres/database.ts';
import type { EffectBench } from '../harness/effect-context.ts';

/** The bench of a worker that comes to the same database by another way; its connections end with the test. */
export function byWayOf(bench: EffectBench, urls: DatabaseUrls): EffectBench {
  const databases = new Databases({ app: urls });
  onTestFinished(() => databases.close());
  return { ...bench, databases, context: (options) => bench.context({ databases, ...options }) };
}
