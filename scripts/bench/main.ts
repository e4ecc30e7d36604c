/**
 * npm run bench: every figure is a ratio of two things measured in the same run, in turns, on the embedded servers.
 * --only NAME (repeatable), --rows N, --turns N, --json.
 */
import { parseArgs } from 'node:util';
import { type Benchmark, type Result, resultOf, type Turn } from './benchmark.ts';
import { BENCHMARKS } from './benchmarks.ts';
import { type Place, withPlace } from './place.ts';
import { resultLine, resultsTable } from './results-table.ts';

const ROWS = 1_000_000;
const USAGE = `usage: npm run bench -- [--only NAME]… [--rows N] [--turns N] [--json]; NAME is one of ${BENCHMARKS.map(({ name }) => name).join(', ')}`;

interface Wish {
  only: readonly string[];
  rows: number;
  turns: number | null;
  json: boolean;
}

function wishOf(args: readonly string[]): Wish | string {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        only: { type: 'string', multiple: true },
        rows: { type: 'string' },
        turns: { type: 'string' },
        json: { type: 'boolean' },
      },
    }));
  } catch (error) {
    return (error as Error).message;
  }
  const only = values.only ?? [];
  const unknown = only.find((name) => !BENCHMARKS.some((benchmark) => benchmark.name === name));
  if (unknown !== undefined) return `there is no benchmark "${unknown}"`;
  const rows = wholeNumber(values.rows, ROWS);
  const turns = wholeNumber(values.turns, 0);
  if (rows === null || turns === null) return '--rows and --turns take a whole number above 0';
  return { only, rows, turns: turns === 0 ? null : turns, json: values.json === true };
}

function wholeNumber(text: string | undefined, otherwise: number): number | null {
  if (text === undefined) return otherwise;
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : null;
}

async function measure(benchmark: Benchmark, place: Place, turns: number): Promise<Result> {
  const prepared = await benchmark.prepare(place);
  try {
    const taken: Turn[] = [];
    for (let number = 1; number <= turns; number++) {
      place.say(`${benchmark.name}: turn ${number} of ${turns}`);
      taken.push(await prepared.turn(number));
    }
    return resultOf(benchmark, taken);
  } finally {
    await prepared.close?.();
  }
}

async function main(args: readonly string[]): Promise<number> {
  const wish = wishOf(args);
  if (typeof wish === 'string') {
    console.error(`${wish}\n${USAGE}`);
    return 2;
  }
  const chosen = BENCHMARKS.filter(({ name }) => wish.only.length === 0 || wish.only.includes(name));
  const say = (line: string): void => console.error(line);
  const results = await withPlace({ rows: wish.rows, say }, async (place) => {
    const measured: Result[] = [];
    for (const benchmark of chosen) {
      const result = await measure(benchmark, place, wish.turns ?? benchmark.turns);
      measured.push(result);
      say(resultLine(result));
    }
    return measured;
  });
  console.log(wish.json ? JSON.stringify(results, null, 2) : resultsTable(chosen, results));
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
