/**
 * What a webhook can be told of. Each is an event of the audit, under the name that people know it by; only
 * `deprecation-near` is a reminder that nobody decided.
 */
export const NOTIFICATION_EVENTS = [
  'started',
  'approval-needed',
  'held',
  'window-closed',
  'exposure-lowered',
  'rolling-back',
  'completed',
  'rolled-back',
  'failed',
  'deprecated',
  'deprecation-near',
  'deprecation-withdrawn',
] as const;
export type NotificationEvent = (typeof NOTIFICATION_EVENTS)[number];
export const isNotificationEvent = (name: string): name is NotificationEvent =>
  (NOTIFICATION_EVENTS as readonly string[]).includes(name);

/** The type of the workflow that delivers one event to one webhook. */
export const NOTIFICATION_WORKFLOW = 'notification';

/** An event in the home ledger: what identifies it, however often it is told. */
export interface EventRef {
  migration: string;
  version: number;
  epoch: number;
  key: string;
}
/** One event for one webhook, which is named as in the configuration. */
export interface NotificationRef extends EventRef {
  webhook: string;
}

/**
 * The event's ID as receivers see it, the same for every attempt. It has no full stop: Standard Webhooks puts one
 * between the ID and what is signed after it.
 */
export const eventIdOf = ({ migration, version, epoch, key }: EventRef): string =>
  [migration, version, epoch, key].join('/').replaceAll('.', '-');

export const notificationIdOf = (of: NotificationRef): string =>
  `${NOTIFICATION_WORKFLOW}/${eventIdOf(of)}/${of.webhook}`;
