import type { Status } from '../../messages/index.ts';
import { SwitchbackError } from '../../messages/index.ts';
import { reportHtml } from '../../report/report-html.ts';
import { reportMarkdown } from '../../report/report-markdown.ts';
import type { CommandMaker, Invocation } from '../cli.ts';
import { EXIT } from '../exit-code.ts';
import { withLedgers } from '../report-facts.ts';
import { readSettings } from '../settings.ts';
import { writeFile } from '../write-file.ts';

export const report: CommandMaker = (cli) =>
  cli.command<{ html?: string }>(
    'report <name>',
    'what a migration did: outcome, timeline, steps, decisions, lineage; Markdown, --json, or --html FILE',
    async (invocation) => {
      const [name = ''] = invocation.args;
      const { globals, terminal, options } = invocation;
      return withLedgers(readSettings(globals, terminal), async (ledgers) => {
        const status = await statusFrom(invocation, name, () => ledgers.status(name));
        const facts = await ledgers.facts(status);
        if (options.html !== undefined) writeFile(terminal.cwd, options.html, reportHtml(status, facts), '--html');
        invocation.print({ status, facts }, () =>
          options.html === undefined ? reportMarkdown(status, facts) : `wrote ${options.html}`,
        );
        return EXIT.done;
      });
    },
    (command) => command.option('--html <file>', 'write it as one HTML file'),
  );

/** A report is wanted most when things are down: without Temporal the home ledger tells what it knows. */
async function statusFrom(
  { session }: Invocation<{ html?: string }>,
  name: string,
  kept: () => Promise<Status | null>,
): Promise<Status> {
  try {
    return await session(({ switchback }) => switchback.handle(name).status());
  } catch (error) {
    if (!(error instanceof SwitchbackError) || error.code !== 'TemporalUnreachable') throw error;
    const status = await kept();
    if (status === null) throw error;
    return { ...status, source: 'ledger' };
  }
}
