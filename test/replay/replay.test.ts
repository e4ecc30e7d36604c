import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import pino from 'pino';
import { expect, test } from 'vitest';
import { decodeHistory, endingOf } from '../harness/history.ts';
import { workflowBundle } from '../../src/worker/workflow-bundle.ts';

const folder = fileURLToPath(new URL('histories/', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.binpb'));

const historyOf = (file: string) => decodeHistory(readFileSync(folder + file));

/** What the histories on record have to have among them. */
const ENDINGS = ['COMPLETED', 'FAILED', 'CANCELED', 'CONTINUED_AS_NEW', 'TERMINATED'];

test('there is a history of each ending', () => {
  const endings = new Set(files.map((file) => endingOf(historyOf(file)).replace('WORKFLOW_EXECUTION_', '')));
  expect([...endings].toSorted()).toEqual(ENDINGS.toSorted());
});

test.each(files)('%s replays', async (file) => {
  const bundle = (await workflowBundle(pino({ level: 'silent' }))) as { codePath: string };
  // Throws DeterminismViolationError where today's workflow code would have decided otherwise.
  const replayed = Worker.runReplayHistory({ workflowBundle: bundle }, historyOf(file));
  await expect(replayed).resolves.toBeUndefined();
});
