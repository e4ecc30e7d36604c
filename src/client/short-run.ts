import { SwitchbackError } from '../messages/index.ts';
import { CALL_TIMEOUT_MS, type ClientContext } from './context.ts';
import { outcomeError } from './outcome.ts';
import { isNoAnswer, serviceError } from './service-error.ts';

/** A question that a worker answers in one short workflow of its own, such as `check`. */
export interface Question {
  type: string;
  workflowId: string;
  input: Record<string, unknown>;
  taskQueue: string;
  /** The migration that it is about, for errors. */
  about: string;
  /** How long the answer may take; ten seconds unless said otherwise. */
  answerMs?: number;
}

const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Asks a worker and waits for its answer. Nothing is left behind where none answers.
 * @throws SwitchbackError NoAnswer where no worker does; TemporalUnreachable; what the workflow failed with
 */
export async function askWorker<Answer>(context: ClientContext, question: Question): Promise<Answer> {
  const { client, place } = context;
  const { answerMs = ANSWER_TIMEOUT_MS } = question;
  if (!(await hasWorker(context, question.taskQueue))) throw noWorker(question);
  try {
    return await client.withDeadline(Date.now() + answerMs, async () => {
      const handle = await client.workflow.start(question.type, {
        workflowId: question.workflowId,
        taskQueue: question.taskQueue,
        args: [question.input],
        workflowIdConflictPolicy: 'USE_EXISTING',
        // The server ends it by itself, should this process be gone before the answer.
        workflowExecutionTimeout: answerMs + CALL_TIMEOUT_MS,
      });
      return (await handle.result()) as Answer;
    });
  } catch (error) {
    const outcome = outcomeError(error, question.about);
    if (outcome !== null) throw outcome;
    if (isNoAnswer(error)) throw noWorker(question);
    throw serviceError(error, place);
  }
}

/** Whether anyone polled the queue lately; true where the server can't tell, for then only asking shows. */
async function hasWorker({ client, place }: ClientContext, taskQueue: string): Promise<boolean> {
  try {
    const { pollers } = await client.withDeadline(Date.now() + CALL_TIMEOUT_MS, () =>
      client.workflowService.describeTaskQueue({
        namespace: place.namespace,
        taskQueue: { name: taskQueue },
      }),
    );
    return (pollers ?? []).length > 0;
  } catch {
    return true;
  }
}

function noWorker({ taskQueue, about }: Question): SwitchbackError {
  return new SwitchbackError('NoAnswer', `no worker on task queue "${taskQueue}" answers`, {
    retry: true,
    hint: 'start one with `switchback worker` or `switchback dev`',
    fields: { taskQueue, migration: about },
  });
}
