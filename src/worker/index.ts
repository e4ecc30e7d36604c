/** What a process of your own imports to run a worker: `import { runWorker } from 'switchback/worker'`. */
export { type Config, type DatabaseConfig, loadConfig } from './config.ts';
export { runWorker } from './main.ts';
