import { SwitchbackError } from '../messages/index.ts';
import type { Kind } from '../plan/index.ts';
import type { Effect, EffectContext, Report } from './effect.ts';
import { pause } from './pause.ts';

const FIRST_WAIT_MS = 1_000;
const WAIT_MAX_MS = 5_000;
/** As long as Unleash may ask us to wait (`Retry-After`) at most. */
const RETRY_AFTER_MAX_MS = 5 * 60_000;
/** An effect that has worked for so long and then loses Unleash begins to count anew. */
const SETTLED_MS = 60_000;

/**
 * The effect, waiting while Unleash can't be reached, and saying so: its note would otherwise be whatever the step did
 * last, and only Temporal's list of failures would know. It lets go of all locks meanwhile and doesn't begin anew
 * before Unleash answers again; what it did is in the ledger.
 */
export const untilUnleash = <K extends Kind>(effect: Effect<K>): Effect<K> => ({
  up: (input, context) => waiting(context, (noticed) => effect.up(input, noticed)),
  down: (input, context) => waiting(context, (noticed) => effect.down(input, noticed)),
});

async function waiting<T>(context: EffectContext, work: (context: EffectContext) => Promise<T>): Promise<T> {
  const away = new Away(context);
  const noticed: EffectContext = {
    ...context,
    report(details) {
      away.progress = details.progress;
      context.report(details);
    },
  };
  for (;;) {
    const began = performance.now();
    try {
      return await work(noticed);
    } catch (error) {
      if (!isAway(error)) throw error;
      if (performance.now() - began > SETTLED_MS) away.tries = 0;
      await away.untilBack(error);
    }
  }
}

const isAway = (error: unknown): error is SwitchbackError =>
  error instanceof SwitchbackError && error.code === 'UnleashUnreachable' && error.retry;

/** One absence of Unleash, as people see it. */
class Away {
  readonly #context: EffectContext;
  progress: Report['progress'] = null;
  tries = 0;

  constructor(context: EffectContext) {
    this.#context = context;
  }

  /** Waits until Unleash answers anything at all. Throws `signal.reason`, and what isn't mended by waiting. */
  async untilBack(first: SwitchbackError): Promise<void> {
    const { deps, log, signal } = this.#context;
    log.warn({ err: first }, 'waits for Unleash');
    for (let error: SwitchbackError | null = first; error !== null; ) {
      const again = this.tries === 0 ? 'tries again' : `tried again, ${times(this.tries)} so far`;
      this.#context.report({ progress: this.progress, note: `${error.message}; ${again}`, blocked: true });
      await pause(waitFor(error, this.tries), signal);
      this.tries += 1;
      error = await answerOf(async () => deps.unleash?.version(signal));
    }
  }
}

/** What Unleash's absence is told as; null where it answers. */
async function answerOf(ask: () => Promise<unknown>): Promise<SwitchbackError | null> {
  try {
    await ask();
    return null;
  } catch (error) {
    if (isAway(error)) return error;
    throw error;
  }
}

function waitFor(error: SwitchbackError, tries: number): number {
  const asked = error.fields['retryAfterMs'];
  if (typeof asked === 'number') return Math.min(asked, RETRY_AFTER_MAX_MS);
  return Math.min(WAIT_MAX_MS, FIRST_WAIT_MS * 2 ** Math.min(tries, 10)) * (0.5 + Math.random() / 2);
}

const times = (count: number): string => (count === 1 ? 'once' : count === 2 ? 'twice' : `${count} times`);
