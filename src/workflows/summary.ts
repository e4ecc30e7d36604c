/**
 * The one line by which Temporal UI shows an activity or a timer. Servers may refuse one of more than 400 bytes (the
 * server's default `limit.userMetadataSummarySize`), and with it the workflow task; a character takes up to 3.
 */
const SUMMARY_LENGTH_MAX = 120;

export const summaryOf = (words: string): string =>
  words.length <= SUMMARY_LENGTH_MAX ? words : `${words.slice(0, SUMMARY_LENGTH_MAX - 1)}…`;
