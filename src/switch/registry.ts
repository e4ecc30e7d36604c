import type { Switching } from './switching.ts';

/** The switches of this process, for the endpoint that shows them all. */
const switches = new Set<Switching>();

/** Until the answer is called. */
export function register(switching: Switching): () => void {
  switches.add(switching);
  return () => switches.delete(switching);
}

export const registered = (): readonly Switching[] => [...switches];
