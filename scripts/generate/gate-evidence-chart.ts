import { afterWindow, logEvidence, newRollBackProcess, rollBackAt } from '../../src/analysis/gate-process.ts';
import { randomOf, windowOf } from '../../src/analysis/simulated-traffic.test-data.ts';

/** What is drawn: an hour at 2,000 requests a minute, 10 % of them on the new path, 1 % of the old path's bad. */
const MINUTES = 60;
const TRAFFIC = { requests: 2_000, share: 0.1, oldRate: 0.01 };
const ROLLOUTS = 8;
const SEED = 27;

const SIZE = { width: 760, height: 400, left: 84, right: 116, top: 34, bottom: 48 };
const LOG10_MIN = -4;
const LOG10_MAX = 6;
const HEALTHY = '#2b6cb0';
const DOUBLED = '#c05621';

/**
 * Evidence over time as an SVG: rollouts of a healthy path and of one whose error rate is doubled, out of the same
 * process that the gates use. Written by no locale and with rounded figures, so that it is the same everywhere.
 */
export function gateEvidenceChart(): string {
  const random = randomOf(SEED);
  const lines = (ratio: number, colour: string): string[] =>
    Array.from({ length: ROLLOUTS }, () => {
      let process = newRollBackProcess();
      const points = [0];
      for (let minute = 1; minute <= MINUTES; minute++) {
        process = afterWindow(process, windowOf(random, { ...TRAFFIC, newRate: TRAFFIC.oldRate * ratio }));
        points.push(logEvidence(process) / Math.LN10);
      }
      return `<path d="${pathOf(points)}" fill="none" stroke="${colour}" stroke-width="1.5" stroke-opacity="0.75"/>`;
    });
  const threshold = y(Math.log10(rollBackAt(0.05, 1)));
  const { width, height, left, right } = SIZE;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#1a202c">`,
    '<title>Evidence over an hour, of a healthy path and of one with a doubled error rate</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...grid(),
    ...lines(1, HEALTHY),
    ...lines(2, DOUBLED),
    `<line x1="${left}" x2="${width - right}" y1="${threshold}" y2="${threshold}" stroke="#1a202c" stroke-dasharray="6 4"/>`,
    label(width - right + 8, threshold + 4, 'rolls back: 20'),
    label(width - right + 8, y(5), 'doubled', DOUBLED),
    label(width - right + 8, y(-1.6), 'healthy', HEALTHY),
    label(
      left,
      20,
      `E of ${ROLLOUTS} rollouts each: 10 % on the new path, 1 % bad on the old one, 2,000 requests a minute`,
    ),
    '</svg>',
    '',
  ].join('\n');
}

const round = (value: number): number => Math.round(value * 10) / 10;
const x = (minute: number): number => round(SIZE.left + ((SIZE.width - SIZE.left - SIZE.right) * minute) / MINUTES);
const y = (log10: number): number => {
  const within = Math.min(LOG10_MAX, Math.max(LOG10_MIN, log10));
  const part = (LOG10_MAX - within) / (LOG10_MAX - LOG10_MIN);
  return round(SIZE.top + (SIZE.height - SIZE.top - SIZE.bottom) * part);
};
const label = (at: number, line: number, text: string, colour?: string): string =>
  `<text x="${at}" y="${line}"${colour === undefined ? '' : ` fill="${colour}"`}>${text}</text>`;

/** A rollout ends where its line leaves the picture. */
function pathOf(points: readonly number[]): string {
  const end = points.findIndex((log10) => log10 > LOG10_MAX);
  const drawn = end === -1 ? points : points.slice(0, end + 1);
  return drawn.map((log10, minute) => `${minute === 0 ? 'M' : 'L'}${x(minute)} ${y(log10)}`).join('');
}

const POWERS: readonly [number, string][] = [
  [-4, '0.0001'],
  [-2, '0.01'],
  [0, '1'],
  [2, '100'],
  [4, '10,000'],
  [6, '1,000,000'],
];
function grid(): string[] {
  const { width, height, left, right, bottom } = SIZE;
  const rows = POWERS.flatMap(([log10, text]) => [
    `<line x1="${left}" x2="${width - right}" y1="${y(log10)}" y2="${y(log10)}" stroke="#e2e8f0"/>`,
    `<text x="${left - 8}" y="${round(y(log10) + 4)}" text-anchor="end">${text}</text>`,
  ]);
  const columns = [0, 15, 30, 45, 60].map(
    (minute) => `<text x="${x(minute)}" y="${height - bottom + 20}" text-anchor="middle">${minute} min</text>`,
  );
  return [...rows, ...columns];
}
