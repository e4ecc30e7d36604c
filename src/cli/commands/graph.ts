import { blueprintHtml } from '../../report/blueprint/blueprint-html.ts';
import type { BlueprintInput } from '../../report/blueprint/blueprint-input.ts';
import { blueprintSections } from '../../report/blueprint/blueprint-sections.ts';
import { dotOf } from '../../report/blueprint/dot.ts';
import { svgOf } from '../../report/blueprint/drawing.ts';
import { mermaidOf } from '../../report/blueprint/mermaid.ts';
import { narrativeOf } from '../../report/blueprint/narrative.ts';
import { planGraph } from '../../report/blueprint/plan-graph.ts';
import type { CommandMaker } from '../cli.ts';
import { EXIT } from '../exit-code.ts';
import { askLive } from '../live-answer.ts';
import { openPlanFile } from '../plan-file.ts';
import { writeFile } from '../write-file.ts';

export const graph: CommandMaker = (cli) =>
  cli.command<{ offline?: boolean; html?: string }>(
    'graph <plan>',
    'draw a plan: Mermaid on stdout; --html FILE writes the blueprint, with story, locks, estimates and the way back',
    async (invocation) => {
      const { args, options, terminal } = invocation;
      const [path = ''] = args;
      const file = await openPlanFile(path, terminal.cwd);
      const { plan, digest, gates, risks } = file.check;
      // Postgres's parser is only loaded by the commands that read a plan.
      const { claimsOfStep } = await import('../../sql/claims.ts');
      const steps = plan.spec.phases.flatMap((phase) => phase.steps);
      const input: BlueprintInput = {
        plan,
        digest,
        gates,
        risks,
        tables: new Map(steps.map((step) => [step.id, claimsOfStep(plan, step)])),
        live: options.offline === true ? { skipped: 'left out (--offline)' } : await askLive(invocation, file),
      };
      const drawn = planGraph(input);
      if (options.html !== undefined)
        writeFile(terminal.cwd, options.html, blueprintHtml(input, await svgOf(dotOf(drawn))), '--html');
      invocation.print(
        {
          name: plan.metadata.name,
          version: plan.metadata.version,
          digest,
          graph: drawn,
          mermaid: mermaidOf(drawn),
          narrative: narrativeOf(input),
          sections: blueprintSections(input),
          live: input.live,
        },
        () => (options.html === undefined ? mermaidOf(drawn) : `wrote ${options.html}`),
      );
      return EXIT.done;
    },
    (command) =>
      command
        .option('--html <file>', 'write the blueprint as one HTML file')
        .option('--offline', 'draw it from the file alone, without the live databases'),
  );
