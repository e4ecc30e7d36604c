export * from './counted.ts';
export * from './decision.ts';
export * from './deprecation.ts';
export * from './failure.ts';
export * from './live-check.ts';
export * from './names.ts';
export * from './run.ts';
export * from './status.ts';
