import type { MigrationSummary } from '../../client/list.ts';
import { instant } from '../../report/figures.ts';
import { painter } from '../../report/paint.ts';
import { oneLine, pad } from '../../report/plain-text.ts';
import { RUN_TONES } from '../../report/state-marks.ts';
import type { CommandMaker } from '../cli.ts';
import { EXIT } from '../exit-code.ts';

export const list: CommandMaker = (cli) =>
  cli.command('list', 'list all migrations, newest first', ({ session, print, terminal }) =>
    session(async ({ switchback }) => {
      const migrations = await switchback.list();
      print(migrations, () =>
        migrations.length === 0
          ? `none yet; ${terminal.program} start PLAN starts one`
          : table(migrations, terminal.color),
      );
      return EXIT.done;
    }),
  );

const HEADINGS = ['NAME', 'STATUS', 'PHASE', 'VERSION', 'OWNER', 'RISK', 'STARTED', 'ENDED'];

function table(migrations: readonly MigrationSummary[], color: boolean): string {
  const paint = painter(color);
  const rows = migrations.map((one) => [
    one.name,
    one.status,
    one.phase ?? '',
    one.version === null ? '' : String(one.version),
    oneLine(one.owner ?? ''),
    one.risk ?? '',
    instant(one.startedAt),
    one.endedAt === null ? '' : instant(one.endedAt),
  ]);
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string[] => row.map((cell, column) => pad(cell, widths[column] ?? 0));
  const lines = rows.map((row, index) => {
    const cells = line(row);
    const status = migrations[index]?.status ?? 'running';
    cells[1] = paint(RUN_TONES[status], cells[1] ?? '');
    return cells.join('  ').trimEnd();
  });
  return [paint('dim', line(HEADINGS).join('  ').trimEnd()), ...lines].join('\n');
}
