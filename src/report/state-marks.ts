import type { PhaseState, RunStatus, StepState } from '../messages/index.ts';
import type { Tone } from './paint.ts';

interface Mark {
  sign: string;
  tone: Tone;
}
export const STEP_MARKS: Record<StepState, Mark> = {
  pending: { sign: '·', tone: 'dim' },
  waiting: { sign: '…', tone: 'warn' },
  running: { sign: '▸', tone: 'active' },
  held: { sign: '!', tone: 'warn' },
  done: { sign: '✓', tone: 'good' },
  skipped: { sign: '–', tone: 'dim' },
  undoing: { sign: '◂', tone: 'warn' },
  undone: { sign: '↶', tone: 'warn' },
  failed: { sign: '✗', tone: 'bad' },
};
export const PHASE_MARKS: Record<PhaseState, Mark> = {
  pending: STEP_MARKS.pending,
  waiting: STEP_MARKS.waiting,
  running: STEP_MARKS.running,
  'awaiting-approval': { sign: '?', tone: 'warn' },
  soaking: STEP_MARKS.waiting,
  done: STEP_MARKS.done,
  undone: STEP_MARKS.undone,
};
export const RUN_TONES: Record<RunStatus, Tone> = {
  'rolling-back': 'warn',
  held: 'warn',
  paused: 'warn',
  'awaiting-approval': 'warn',
  waiting: 'warn',
  running: 'active',
  completed: 'good',
  'rolled-back': 'bad',
  failed: 'bad',
};
