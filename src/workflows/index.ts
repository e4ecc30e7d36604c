export { interceptors } from './interceptors.ts';
export { migration } from './migration.ts';
export { check, release } from './short.ts';
