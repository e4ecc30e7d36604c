import { isEnd, type Status } from '../messages/index.ts';
import { shellArgument } from './plain-text.ts';

/** What a person can type next, whole, and why. */
export interface NextCommand {
  why: string;
  command: string;
}

const WHO = 'you@example.com';

/** What may be typed now. `program` is how this command line is called here, such as `npx switchback`. */
export function nextCommands(status: Status, program: string): NextCommand[] {
  const name = shellArgument(status.name);
  const line = (verb: string, about = '', as = true): string =>
    [program, verb, name, about === '' ? '' : shellArgument(about), as ? `--as ${WHO}` : '']
      .filter((part) => part !== '')
      .join(' ');
  if (isEnd(status.status)) return [{ why: 'what was done', command: line('report', '', false) }];
  const next: NextCommand[] = [];
  for (const { gate, overrides } of status.gates.filter(({ state }) => state === 'open')) {
    if (overrides !== undefined) {
      next.push({
        why: `let ${gate.replace(/\/window$/, '')} go outside of its windows`,
        command: line('approve', gate),
      });
      continue;
    }
    next.push({ why: `approve ${gate}`, command: line('approve', gate) });
    next.push({ why: `refuse ${gate}`, command: line('reject', gate) });
  }
  const held = heldOf(status);
  for (const about of held) {
    next.push({ why: `try ${about} again`, command: line('retry', about) });
    next.push({ why: `go on without ${about}`, command: line('skip', about) });
  }
  if (held.length > 0 && status.status !== 'rolling-back' && !wayBackTaken(status))
    next.push({ why: 'undo everything', command: line('abort') });
  if (status.status === 'paused') next.push({ why: 'go on', command: line('resume') });
  return next;
}

/** After a drop, abort is refused. */
const wayBackTaken = ({ phases }: Status): boolean =>
  phases.some(({ steps }) => steps.some(({ uses, state }) => uses === 'drop' && state === 'done'));

/** The steps and gates that wait for a person after a failure. */
export function heldOf(status: Status): string[] {
  const steps = status.phases.flatMap((phase) =>
    phase.steps.filter(({ state }) => state === 'held').map(({ id }) => id),
  );
  const gates =
    status.status === 'held'
      ? status.gates.filter(
          ({ state, overrides }) => overrides === undefined && (state === 'rejected' || state === 'expired'),
        )
      : [];
  const known = [...steps, ...gates.map(({ gate }) => gate)];
  // What failed may be neither, such as a phase's precondition; then the error says what it was.
  const { error } = status;
  return known.length === 0 && status.status === 'held' && error?.step != null ? [error.step] : known;
}
