export { interceptors } from './interceptors.ts';
export { migration } from './migration.ts';
export { notification } from './notification.ts';
export { audit, check, deprecations, release } from './short.ts';
