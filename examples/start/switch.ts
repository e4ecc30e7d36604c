import pg from 'pg';
import { Unleash } from 'unleash-client';
import { createSwitch, serveSwitches } from '../../src/switch/index.ts';

const database = new pg.Pool({ connectionString: process.env['DATABASE_URL'] });
const ledger = new pg.Pool({ connectionString: process.env['LEDGER_URL'], max: 2 });
// A connection that dies while it is idle is replaced; without a listener it would end the process.
for (const pool of [database, ledger]) pool.on('error', (error) => console.error(error.message));
const unleash = new Unleash({
  appName: 'accounts',
  url: process.env['UNLEASH_URL'] ?? '',
  customHeaders: { Authorization: process.env['UNLEASH_CLIENT_TOKEN'] ?? '' },
});

// Two ways to read and write a name: one column of users, or a table of its own.
const old = {
  async read(id: string) {
    const { rows } = await database.query<{ name: string }>('SELECT full_name AS name FROM users WHERE id = $1', [id]);
    return rows[0]?.name ?? null;
  },
  async write(id: string, name: string) {
    await database.query('UPDATE users SET full_name = $2 WHERE id = $1', [id, name]);
  },
};
const split = {
  async read(id: string) {
    const { rows } = await database.query<{ name: string }>(
      "SELECT concat_ws(' ', given, family) AS name FROM names WHERE user_id = $1",
      [id],
    );
    return rows[0]?.name ?? null;
  },
  async write(id: string, name: string) {
    const [given, ...family] = name.split(' ');
    await database.query(
      `INSERT INTO names (user_id, given, family) VALUES ($1, $2, $3)
       ON CONFLICT (user_id) DO UPDATE SET given = excluded.given, family = excluded.family`,
      [id, given, family.join(' ') || null],
    );
  },
};
// What one side lacks is brought from the other, as often as it takes.
const repair = async (id: string, lacking: 'old' | 'new'): Promise<void> => {
  const [from, to] = lacking === 'old' ? [split, old] : [old, split];
  const name = await from.read(id);
  if (name !== null) await to.write(id, name);
};

const key = (id: string) => id;
const names = createSwitch({ flag: 'split-names', old, new: split, key, repair, unleash, ledger, service: 'accounts' });

const endpoint = await serveSwitches({ port: 0 }); // /metrics for Prometheus, /switchback as JSON
await names.write('1', 'Ana Bo');
console.log(await names.read('1'), names.stage(), endpoint.url);

await names.close(); // calls under way end, and nobody waits for this instance any more
await endpoint.close();
unleash.destroy();
await Promise.all([database.end(), ledger.end()]);
