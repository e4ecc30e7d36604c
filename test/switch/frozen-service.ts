/** A service in a process of its own: `frozen-service.ts URL FLAG` writes once for each line it is given. */
import { createInterface } from 'node:readline';
import pg from 'pg';
import { createSwitch } from '../../src/switch/index.ts';

const [, , url, flag] = process.argv;
if (url === undefined || flag === undefined) throw new Error('usage: frozen-service.ts URL FLAG');
const pool = new pg.Pool({ connectionString: url });
pool.on('error', () => undefined);
let wrote: string[] = [];
const side = (name: string) => ({
  read: (_key: string) => name,
  write(_key: string) {
    wrote.push(name);
  },
});
const names = createSwitch({
  ...{ flag, old: side('old'), new: side('new'), key: (key: string) => key, ledger: pool, service: 'frozen' },
  ...{ beatMs: 100, leaseMs: 700 },
});
await names.ready();
console.log(JSON.stringify({ stage: names.stage() }));
for await (const key of createInterface({ input: process.stdin })) {
  wrote = [];
  await names.write(key);
  console.log(JSON.stringify({ stage: names.stage(), wrote }));
}
