import { gapWords, UNSUPPORTED } from '../../src/plan/support.ts';

/** What the format has and this version refuses, as a Markdown list; one line for each owner. */
export function unsupportedList(): string {
  const kinds = UNSUPPORTED.flatMap((gap) => ('kind' in gap ? [`\`${gap.kind}\``] : []));
  const fields = UNSUPPORTED.flatMap((gap) => ('kind' in gap ? [] : [`- ${gapWords(gap)}`]));
  return [`- step kinds: ${kinds.join(', ')}`, ...fields].join('\n');
}
