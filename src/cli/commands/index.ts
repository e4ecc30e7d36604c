import type { CommandMaker } from '../cli.ts';
import { abort } from './abort.ts';
import { approve } from './approve.ts';
import { audit } from './audit.ts';
import { check } from './check.ts';
import { demo } from './demo.ts';
import { dev } from './dev.ts';
import { graph } from './graph.ts';
import { list } from './list.ts';
import { pause } from './pause.ts';
import { reject } from './reject.ts';
import { release } from './release.ts';
import { report } from './report.ts';
import { resume } from './resume.ts';
import { retry } from './retry.ts';
import { skip } from './skip.ts';
import { start } from './start.ts';
import { status } from './status.ts';
import { throttle } from './throttle.ts';
import { watch } from './watch.ts';
import { worker } from './worker.ts';

/** All commands, in the order of the help. */
export const COMMANDS: readonly CommandMaker[] = [
  dev,
  demo,
  check,
  graph,
  start,
  list,
  status,
  watch,
  approve,
  reject,
  abort,
  pause,
  resume,
  retry,
  skip,
  throttle,
  release,
  report,
  audit,
  worker,
];
