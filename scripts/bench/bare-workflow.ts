import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

/** What the engine is held against: workflows that do nothing but call activities, or wait. */
const { nothing } = proxyActivities<{ nothing(): Promise<void> }>({ startToCloseTimeout: '1 minute' });

export async function bareSequence(activities: number): Promise<void> {
  for (let done = 0; done < activities; done++) await nothing();
}

export async function bareWaiting(): Promise<void> {
  let released = false;
  setHandler(defineSignal('release'), () => {
    released = true;
  });
  await condition(() => released);
}
