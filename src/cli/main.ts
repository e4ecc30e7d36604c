#!/usr/bin/env node
import { run } from './program.ts';
import { processTerminal } from './terminal.ts';

/** After the work is done, open handles (a connection that closes slowly) hold the process no longer than this. */
const LINGER_MAX_MS = 2_000;

// A reader that leaves early, such as `head`, is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
    throw error;
  });
}

process.exitCode = await run(process.argv.slice(2), processTerminal());
setTimeout(() => process.exit(), LINGER_MAX_MS).unref();
