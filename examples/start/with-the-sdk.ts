import { readFile } from 'node:fs/promises';
import { Switchback } from '../../src/client/index.ts';

await using switchback = await Switchback.connect(); // Temporal's own TEMPORAL_* variables say where
const plan = await readFile('examples/split-full-name/plan.yaml', 'utf8');

const migration = await switchback.start(plan, { requestedBy: 'deploy@example.com' });
for await (const status of migration.watch()) {
  console.log(status.status, status.reason);
}
const result = await migration.result(); // throws SwitchbackError with code RolledBack where it was rolled back
console.log(result.message);
