/** A process that starts servers in the directory given, prints their pids as one line of JSON, and holds them. */
import { startServers } from '../../src/dev/servers.ts';

const [, , dataDir] = process.argv;
if (dataDir === undefined) throw new Error('usage: hold-servers.ts DIRECTORY');
const { temporal, postgres } = await startServers({ config: { databases: ['held'], unleash: false }, dataDir });
console.log(JSON.stringify({ temporal: temporal.pid, postgres: postgres?.pid, url: postgres?.url('held') }));
await new Promise(() => setInterval(() => undefined, 60_000));
