import { InvalidArgumentError } from 'commander';
import { SwitchbackError } from '../../messages/index.ts';
import type { CommandMaker } from '../cli.ts';
import { decide } from '../decision.ts';

interface ThrottleFlags {
  rowsPerSecond?: number;
  parallelism?: number;
  gentle?: boolean;
  full?: boolean;
}

export const throttle: CommandMaker = (cli) =>
  cli.command<ThrottleFlags>(
    'throttle <name> <step>',
    'change the pace of a long step while it runs',
    (invocation) => {
      const [, step = ''] = invocation.args;
      const { rowsPerSecond, parallelism, gentle, full } = invocation.options;
      const asked = [rowsPerSecond, parallelism, gentle, full].filter((one) => one !== undefined).length;
      if (asked === 0 || (full === true && asked > 1)) {
        throw new SwitchbackError(
          'UsageInvalid',
          asked === 0 ? 'throttle needs a pace' : '--full goes with no other pace',
          {
            hint: 'give --rows-per-second N, --parallelism N or --gentle; or --full to take all of them back',
          },
        );
      }
      return decide({ ...invocation, options: {} }, (handle, { by }) =>
        handle.throttle(step, { by, rowsPerSecond, parallelism, gentle, full }),
      );
    },
    (command) =>
      command
        .option('--rows-per-second <n>', 'at most so many rows a second', number({ whole: false }))
        .option('--parallelism <n>', 'so many ranges at once', number({ whole: true }))
        .option('--gentle', 'smallest chunks, long pauses')
        .option('--full', 'take back what was said before; the plan’s own limits count again'),
  );

const number =
  ({ whole }: { whole: boolean }) =>
  (text: string): number => {
    const value = Number(text);
    const fine = text.trim() !== '' && Number.isFinite(value) && value > 0 && (!whole || Number.isInteger(value));
    if (!fine) throw new InvalidArgumentError(`It must be a ${whole ? 'whole ' : ''}number above 0.`);
    return value;
  };
