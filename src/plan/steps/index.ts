import type { z } from 'zod';
import { approval } from './approval.ts';
import { backfill } from './backfill.ts';
import { call } from './call.ts';
import { check } from './check.ts';
import { ddl } from './ddl.ts';
import { deprecate } from './deprecate.ts';
import { drop } from './drop.ts';
import { dualWrite } from './dual-write.ts';
import { flag } from './flag.ts';
import { move } from './move.ts';
import { retire } from './retire.ts';
import { rollout } from './rollout.ts';
import { verify } from './verify.ts';
import { wait } from './wait.ts';

/** Every step kind, by the word that `uses` takes. A new kind is one line here. */
export const stepKinds = {
  ddl,
  'dual-write': dualWrite,
  backfill,
  verify,
  move,
  flag,
  rollout,
  check,
  approval,
  wait,
  call,
  deprecate,
  retire,
  drop,
} as const;
export type Kind = keyof typeof stepKinds;
export const KINDS = Object.keys(stepKinds) as Kind[];
/** A step with its defaults filled in. */
export type StepOf<K extends Kind> = z.output<(typeof stepKinds)[K]>;
export type Step = { [K in Kind]: StepOf<K> }[Kind];
/** A step as a plan writes it. */
export type StepInput = { [K in Kind]: z.input<(typeof stepKinds)[K]> }[Kind];
