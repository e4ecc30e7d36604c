import type { ConnectOptions } from '../client/connect.ts';
import type { Switchback, SwitchbackOptions } from '../client/switchback.ts';
import { type Globals, whoOf } from './globals.ts';
import { homeDatabase, keptStatus } from './home-ledger.ts';
import { readSettings, type Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';

/** What a command that talks to Temporal works with. */
export interface Session {
  switchback: Switchback;
  settings: Settings;
  who: string;
}

/**
 * Connects, runs `work`, and closes. The address is `--address`, else TEMPORAL_ADDRESS, else that of the running
 * `switchback dev` of this directory, else Temporal's profile or `localhost:7233`.
 */
export async function withSession<T>(
  globals: Globals,
  terminal: Terminal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const settings = readSettings(globals, terminal);
  const ledger = homeDatabase(settings);
  try {
    // Temporal's client is most of what there is to load; help, usage errors and file checks do without it.
    const { Switchback } = await import('../client/switchback.ts');
    await using switchback = await Switchback.connect({
      ...placeOf(globals, terminal, settings),
      identity: `${whoOf(globals, terminal)}@switchback-cli`,
      taskQueue: settings.taskQueue,
      // A ledger that can't be read either has nothing to say; that the run doesn't answer is what people must know.
      ledgerStatus: async (name) => (ledger === null ? null : keptStatus(ledger, name).catch(() => null)),
    });
    return await work({ switchback, settings, who: whoOf(globals, terminal) });
  } finally {
    await ledger?.close();
  }
}

function placeOf(globals: Globals, { env }: Terminal, { dev }: Settings): ConnectOptions & SwitchbackOptions {
  const { address, namespace, profile } = globals;
  const ui = env['TEMPORAL_UI_ADDRESS'];
  if (address !== undefined || env['TEMPORAL_ADDRESS'] || profile !== undefined || dev === null) {
    // The UI of `switchback dev` only shows that server's runs.
    const same = dev !== null && (address ?? env['TEMPORAL_ADDRESS']) === dev.temporal.address;
    return { address, namespace, profile, ui: ui ?? (same ? (dev.temporal.ui ?? undefined) : undefined) };
  }
  return {
    address: dev.temporal.address,
    namespace: namespace ?? env['TEMPORAL_NAMESPACE'] ?? 'default',
    ui: ui ?? dev.temporal.ui ?? undefined,
    // A profile of the person's own, perhaps with an API key, isn't meant for a server on this machine.
    ignoreEnvironment: true,
  };
}
