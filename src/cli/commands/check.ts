import { type ErrorCode, type LiveCheck, SwitchbackError } from '../../messages/index.ts';
import { oneLine } from '../../report/plain-text.ts';
import type { CommandMaker, Invocation } from '../cli.ts';
import { EXIT } from '../exit-code.ts';
import { openPlanFile, type PlanFile } from '../plan-file.ts';

/** Without a server or a worker only the file can be checked; that is said, and is no failure. */
const ONLY_FILE: readonly ErrorCode[] = ['TemporalUnreachable', 'NoAnswer'];

export const check: CommandMaker = (cli) =>
  cli.command<{ offline?: boolean }>(
    'check <plan>',
    'check a plan file, then, where a worker answers, against the live databases',
    async (invocation) => {
      const [path = ''] = invocation.args;
      const file = await openPlanFile(path, invocation.terminal.cwd);
      const live =
        invocation.options.offline === true ? { skipped: 'left out (--offline)' } : await askLive(invocation, file);
      const problems = 'problems' in live ? live.problems : [];
      const { plan, digest, claims, gates, risks } = file.check;
      invocation.print(
        {
          ok: problems.length === 0,
          file: path,
          name: plan.metadata.name,
          version: plan.metadata.version,
          digest,
          risks,
          gates: gates.map(({ gate }) => gate),
          claims,
          live,
        },
        () => [fileText(path, file), liveText(live)].join('\n'),
      );
      return problems.length === 0 ? EXIT.done : EXIT.input;
    },
    (command) => command.option('--offline', 'check the file alone'),
  );

type Live = LiveCheck | { skipped: string };

async function askLive({ session }: Invocation<{ offline?: boolean }>, { text }: PlanFile): Promise<Live> {
  try {
    return await session(({ switchback }) => switchback.check(text));
  } catch (error) {
    if (!(error instanceof SwitchbackError) || !ONLY_FILE.includes(error.code)) throw error;
    return { skipped: error.message };
  }
}

function fileText(path: string, { check: { plan, digest, gates } }: PlanFile): string {
  const { metadata, spec } = plan;
  const steps = spec.phases.reduce((sum, phase) => sum + phase.steps.length, 0);
  return [
    `${path}: fine`,
    `  ${metadata.name} version ${metadata.version}, ${spec.phases.length} phases, ${steps} steps`,
    `  gates: ${gates.map(({ gate }) => gate).join(', ') || 'none'}`,
    `  digest: ${digest}`,
  ].join('\n');
}

function liveText(live: Live): string {
  if ('skipped' in live) return `live: not checked: ${oneLine(live.skipped)}`;
  const lines = [
    ...live.problems.map((problem) => `  problem: ${oneLine(problem)}`),
    ...live.notes.map((note) => `  note: ${oneLine(note)}`),
  ];
  return [`live: ${live.problems.length === 0 ? 'fine' : `${live.problems.length} problems`}`, ...lines].join('\n');
}
