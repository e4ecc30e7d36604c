export { interceptors } from './interceptors.ts';
export { migration } from './migration.ts';
export { check, deprecations, release } from './short.ts';
