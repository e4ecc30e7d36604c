import { pad } from '../../src/report/plain-text.ts';
import type { Benchmark, Result } from './benchmark.ts';

/** What, ours, reference, ratio, target: one line each. */
export function resultsTable(benchmarks: readonly Benchmark[], results: readonly Result[]): string {
  const rows = results.map((result) => {
    const benchmark = benchmarks.find(({ name }) => name === result.name);
    const [least, greatest] = result.spread;
    return [
      result.name,
      `${figure(result.ours)} ${result.unit}`,
      `${figure(result.reference)} ${result.unit}`,
      `${result.ratio.toFixed(2)} (${least.toFixed(2)}–${greatest.toFixed(2)})`,
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
