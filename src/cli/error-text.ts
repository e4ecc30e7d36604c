import { SwitchbackError } from '../messages/index.ts';
import type { Paint } from '../report/paint.ts';

/** An error as `--json` prints it. */
export interface ErrorObject {
  error: { code: string; message: string; hint: string | null; fields: SwitchbackError['fields']; problems?: unknown };
}

/** The code of what isn't ours: a fault of this program. */
const INTERNAL = 'Internal';

export function errorObject(error: unknown): ErrorObject {
  if (!(error instanceof SwitchbackError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { error: { code: INTERNAL, message, hint: 'set DEBUG=1 to see where it comes from', fields: {} } };
  }
  const { code, message, hint, fields } = error;
  return { error: { code, message, hint, fields, ...('problems' in error && { problems: error.problems }) } };
}

/** An error for people: `error CODE: message`, the hint below it; the stack only where `DEBUG` is set. */
export function errorText(error: unknown, paint: Paint, debug: boolean): string {
  const { code, message, hint } = errorObject(error).error;
  const shown = message.replace(/[^\P{Cc}\n]/gu, '');
  const lines = [`${paint('bad', `error ${code}:`)}${shown.includes('\n') ? '\n' : ' '}${shown}`];
  if (hint !== null) lines.push(`${paint('dim', 'hint:')} ${hint}`);
  if (debug && error instanceof Error) lines.push(error.stack ?? '', ...causes(error));
  return lines.join('\n');
}

const causes = (error: Error): string[] =>
  error.cause instanceof Error ? [`caused by ${error.cause.stack ?? error.cause.message}`, ...causes(error.cause)] : [];
