import { pad } from '../../src/report/plain-text.ts';
import type { Benchmark, Result } from './benchmark.ts';

/** `many: 1.26 (1.20–1.31)`, for those who wait for the rest. */
export const resultLine = (result: Result): string => `${result.name}: ${ratioOf(result)}`;
const ratioOf = ({ ratio, spread: [least, greatest] }: Result): string =>
  `${ratio.toFixed(2)} (${least.toFixed(2)}–${greatest.toFixed(2)})`;

/** What, ours, reference, ratio, target: one line each. */
export function resultsTable(benchmarks: readonly Benchmark[], results: readonly Result[]): string {
  const rows = results.map((result) => {
    const benchmark = benchmarks.find(({ name }) => name === result.name);
    return [
      result.name,
      `${figure(result.ours)} ${result.unit}`,
      `${figure(result.reference)} ${result.unit}`,
      ratioOf(result),
      result.target === null ? 'reported' : `${result.target}${result.met === true ? '' : '  not met'}`,
      `${benchmark?.ours ?? ''} | ${benchmark?.reference ?? ''}`,
    ];
  });
  const table = [['what', 'ours', 'reference', 'ratio', 'target', 'ours | reference'], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => (row[column] ?? '').length))) ?? [];
  return table
    .map((row) =>
      row
        .map((cell, column) => pad(cell, widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const figure = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
