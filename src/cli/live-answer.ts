import { type ErrorCode, type LiveCheck, SwitchbackError } from '../messages/index.ts';
import type { Invocation } from './cli.ts';
import type { PlanFile } from './plan-file.ts';

/** Without a server or a worker only the file can be looked at; that is said, and is no failure. */
const ONLY_FILE: readonly ErrorCode[] = ['TemporalUnreachable', 'NoAnswer'];

/** What a worker says of a plan against the live databases, or why none was asked. */
export async function askLive(
  { session }: Pick<Invocation, 'session'>,
  { text }: PlanFile,
): Promise<LiveCheck | { skipped: string }> {
  try {
    return await session(({ switchback }) => switchback.check(text));
  } catch (error) {
    if (!(error instanceof SwitchbackError) || !ONLY_FILE.includes(error.code)) throw error;
    return { skipped: error.message };
  }
}
