import { requestsToPass, requestsToSee } from '../../src/analysis/gate-plan.ts';
import { aboutWords, countWords } from '../../src/analysis/gate-words.ts';

const SHARES = [0.01, 0.05, 0.1, 0.25, 0.5];
const RATES = [0.01, 0.001];
const MARGINS = [1.5, 2];

/** How much gates need, as a Markdown table: by the share of the traffic on the new path. */
export function gateNeedsTable(): string {
  const head = [
    'on the new path',
    'to see a doubled error rate',
    ...MARGINS.map((margin) => `to pass at margin ${margin}`),
  ];
  const rows = SHARES.map((share) => [
    `${100 * share} %`,
    cell((rate) => requestsToSee({ ratio: 2, share, alpha: 0.05, metrics: 1, rate })),
    ...MARGINS.map((margin) => cell((rate) => requestsToPass({ margin, ratio: 1, share, rate }))),
  ]);
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** `743 bad: 71,000 requests at 1 %, 710,000 at 0.1 %` */
function cell(sizeAt: (rate: number) => { bad: number; requests: number } | null): string {
  const sizes = RATES.map(sizeAt);
  const [first, second] = sizes;
  if (first === null || first === undefined || second === null || second === undefined) return 'never';
  return `${countWords(first.bad)} bad: ${aboutWords(first.requests)} requests at 1 %, ${aboutWords(second.requests)} at 0.1 %`;
}
