import type { Delivery } from '../client/deliver.ts';
import type { MigrationHandle } from '../client/migration-handle.ts';
import type { Invocation } from './cli.ts';
import { EXIT } from './exit-code.ts';

export interface Decided {
  by: string;
  comment: string | undefined;
}

/**
 * Sends one decision and says what came of it. What the run refuses is wrong input: exit code 2, the reason on stderr.
 * With `--json` the answer is printed either way.
 */
export async function decide(
  invocation: Invocation<unknown>,
  send: (handle: MigrationHandle, decided: Decided) => Promise<Delivery>,
): Promise<number> {
  const { args, globals, terminal } = invocation;
  const [name = ''] = args;
  return invocation.session(async ({ switchback, who }) => {
    const delivery = await send(switchback.handle(name), { by: who, comment: globals.comment });
    if (globals.json === true) terminal.out(JSON.stringify(delivery, null, 2));
    else if (delivery.accepted) terminal.out(`accepted: ${delivery.reason}`);
    else terminal.err(`refused: ${delivery.reason}`);
    return delivery.accepted ? EXIT.done : EXIT.input;
  });
}
