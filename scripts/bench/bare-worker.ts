/** The worker of the bare workflows, as a process: node bare-worker.ts ADDRESS TASK_QUEUE. */
import pino from 'pino';
import { installRuntime } from '../../src/worker/telemetry.ts';
import { createBareWorker } from './bench-worker.ts';

const [address = '', taskQueue = ''] = process.argv.slice(2);
installRuntime(pino({ level: 'silent' }));
const { worker } = await createBareWorker(address, taskQueue);
const ended = worker.run();
console.log('bare worker is running');
await ended;
