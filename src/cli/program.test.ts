import { describe, expect, it } from 'vitest';
import { run } from './program.ts';
import type { Terminal } from './terminal.ts';

async function play(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' };
  const terminal: Terminal = {
    out: (text) => void (written.out += `${text}\n`),
    err: (text) => void (written.err += `${text}\n`),
    screen: null,
    color: false,
    env: {},
    cwd: import.meta.dirname,
    program: 'npx switchback',
  };
  return { code: await run(args, terminal), ...written };
}

describe('a wrong command line is exit code 2, on stderr alone', () => {
  it.each([
    [['board', 'plan.yaml'], "unknown command 'board'"],
    [['board'], "unknown command 'board'"],
    [['aprove', 'x'], 'did you mean approve?'],
    [['help', 'board'], "unknown command 'board'"],
    [['--no-color'], 'a command is missing'],
    [['status'], "missing required argument 'name'"],
    [['approve', 'a', 'b', 'c'], 'too many arguments'],
    [['status', 'x', '--jsno'], "unknown option '--jsno'; did you mean --json?"],
    [['status', 'x', '--as'], "option '--as <who>' argument missing"],
    [['start', 'no-such-plan.yaml'], 'plan "no-such-plan.yaml": there is no such file'],
    [['start', '.'], 'plan ".": it is a directory'],
    [['throttle', 'x', 's'], 'throttle needs a pace'],
    [['throttle', 'x', 's', '--full', '--gentle'], '--full goes with no other pace'],
    [['throttle', 'x', 's', '--parallelism', '1.5'], 'must be a whole number above 0'],
    [['throttle', 'x', 's', '--rows-per-second', 'many'], 'must be a number above 0'],
    [['dev', '--seconds', '-1'], 'must be a number above 0'],
  ])('%j', async (args, words) => {
    const { code, out, err } = await play(...args);
    expect(err).toMatch(/^error UsageInvalid: .*\nhint: .+\n$/);
    expect(err).toContain(words);
    expect(out).toBe('');
    expect(code).toBe(2);
  });
  it('is JSON with --json, wherever that stands', async () => {
    const { code, err } = await play('--json', 'nonsense');
    expect(JSON.parse(err)).toEqual({
      error: {
        code: 'UsageInvalid',
        message: "unknown command 'nonsense'",
        hint: 'npx switchback --help lists commands and options',
        fields: {},
      },
    });
    expect(code).toBe(2);
  });
  it('shows the help where nothing is asked', async () => {
    const { code, out, err } = await play();
    expect(err).toContain('Usage: switchback');
    expect(err).toContain('Exit codes:');
    expect(out).toBe('');
    expect(code).toBe(2);
  });
});

describe('help and version are answers', () => {
  it('lists each command of the plan format', async () => {
    const { code, out, err } = await play('--help');
    const commands = [...out.matchAll(/^ {2}([a-z]+)(?= |$)/gm)].map(([, name]) => name);
    expect(commands).toEqual(
      expect.arrayContaining(
        'dev demo check start list status watch approve reject abort pause resume retry skip throttle release report worker'.split(
          ' ',
        ),
      ),
    );
    expect(err).toBe('');
    expect(code).toBe(0);
  });
  it('knows the options of a command', async () => {
    expect(await play('start', '--help')).toMatchObject({ code: 0, err: '', out: expect.stringContaining('--watch') });
  });
  it('shows with each command the options that all of them take', async () => {
    expect((await play('approve', '--help')).out).toMatch(/--as <who>.*\n.*--comment <text>/);
  });
  it('tells the version', async () => {
    expect(await play('--version')).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });
});
