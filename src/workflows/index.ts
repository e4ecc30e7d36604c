export { interceptors } from './interceptors.ts';
export { migration } from './migration.ts';
export { audit, check, deprecations, release } from './short.ts';
