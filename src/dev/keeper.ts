/**
 * The process that outlives a killed parent just long enough to stop the servers it had started. It reads lines
 * `+PID SIGNAL` (keep an eye on it) and `-PID` (it has ended); the end of input means that the parent is gone.
 * Run by `Keeping` in keeping.ts; nothing else starts it.
 */
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 50;
const GRACE_MS = 8_000;

const kept = new Map<number, NodeJS.Signals>();

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

async function end(pid: number, name: NodeJS.Signals): Promise<void> {
  if (!signal(pid, name)) return;
  for (let waited = 0; waited < GRACE_MS; waited += POLL_MS) {
    if (!signal(pid, 0)) return;
    await delay(POLL_MS);
  }
  signal(pid, 'SIGKILL');
}

// Ctrl-C in the terminal is the parent's business; the keeper goes when the parent does.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const [head = '', name = 'SIGTERM'] = line.split(' ');
  const pid = Number(head.slice(1));
  if (head.startsWith('+')) kept.set(pid, name as NodeJS.Signals);
  else kept.delete(pid);
}
// The last one started depends on those before it, so it goes first.
for (const [pid, name] of [...kept].toReversed()) await end(pid, name);
