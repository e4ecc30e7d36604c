import { describe, expect, it } from 'vitest';
import { type ErrorCode, SwitchbackError } from '../messages/index.ts';
import { exitCodeOf, exitCodeOfEnd } from './exit-code.ts';

const error = (code: string) => ({ code, message: 'm', hint: null, step: null });

describe('exitCodeOf', () => {
  it.each<[ErrorCode, number]>([
    ['RolledBack', 1],
    ['MigrationFailed', 1],
    ['GuardTripped', 1],
    ['PlanInvalid', 2],
    ['PlanChanged', 2],
    ['UnknownMigration', 2],
    ['ConfigInvalid', 2],
    ['UsageInvalid', 2],
    ['Unsupported', 2],
    ['TemporalUnreachable', 3],
    ['DatabaseUnreachable', 3],
    ['NoAnswer', 3],
  ])('%s is %i', (code, exit) => expect(exitCodeOf(new SwitchbackError(code, 'm'))).toBe(exit));
  it('never takes a fault of ours for wrong input', () => expect(exitCodeOf(new TypeError('x'))).toBe(1));
});

describe('exitCodeOfEnd', () => {
  it('is 0 for a migration that completed, or that was left while it ran', () => {
    expect(exitCodeOfEnd({ status: 'completed', error: null })).toBe(0);
    expect(exitCodeOfEnd({ status: 'held', error: error('StatementFailed') })).toBe(0);
  });
  it('is 1 for one that ended rolled back or failed', () => {
    expect(exitCodeOfEnd({ status: 'rolled-back', error: error('GuardTripped') })).toBe(1);
    expect(exitCodeOfEnd({ status: 'failed', error: error('StatementFailed') })).toBe(1);
  });
  it('is 2 for one that the engine refused at its start', () => {
    expect(exitCodeOfEnd({ status: 'failed', error: error('PlanInvalid') })).toBe(2);
  });
});
