import { readFile } from 'node:fs/promises';
import { Client, Connection } from '@temporalio/client';
import { parse } from 'yaml';

const connection = await Connection.connect({ address: process.env['TEMPORAL_ADDRESS'] ?? 'localhost:7233' });
const client = new Client({ connection });
const plan = parse(await readFile('examples/split-full-name/plan.yaml', 'utf8'));

// The workflow's type, its ID, its one argument and its messages are a public promise.
const handle = await client.workflow.start('migration', {
  taskQueue: 'switchback',
  workflowId: `migration/${plan.metadata.name}`,
  args: [{ plan, requestedBy: 'deploy@example.com' }],
});
await handle.signal('pause', { decisionId: 'p-1', by: 'deploy@example.com', comment: 'the sale is on' });
await handle.signal('resume', { decisionId: 'r-1', by: 'deploy@example.com', comment: 'the sale is over' });
console.log(await handle.query('status'));
console.log(await handle.result());
await connection.close();
