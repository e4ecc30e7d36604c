import { escaped, page, sectionHtml } from '../html.ts';
import type { BlueprintInput } from './blueprint-input.ts';
import { blueprintSections } from './blueprint-sections.ts';
import { narrativeOf, openingOf } from './narrative.ts';

/** What will happen, before it happens: the picture, the story, the tables. `svg` is Graphviz's drawing of the plan. */
export function blueprintHtml(input: BlueprintInput, svg: string): string {
  const { metadata } = input.plan;
  const title = `Blueprint of ${metadata.name} version ${metadata.version}`;
  const body = [
    `<h1>${escaped(title)}</h1>`,
    ...openingOf(input).map((sentence) => `<p>${escaped(sentence)}</p>`),
    `<p class="digest">${escaped(input.digest)}</p>`,
    '<h2>At a glance</h2>',
    `<figure class="wide">${svg}</figure>`,
    `<p class="legend">Boxes are steps, hexagons are approvals, cylinders are tables. Full lines: what follows on what. A step names the tables that it acts on, with the strongest lock that it takes there; a dashed line leads from a table or flag to the first of them.</p>`,
    '<h2>What will happen</h2>',
    ...narrativeOf(input).map(
      ({ heading, sentences }) =>
        `<h3>${escaped(heading)}</h3>\n<ul>${sentences.map((sentence) => `<li>${escaped(sentence)}</li>`).join('\n')}</ul>`,
    ),
    ...blueprintSections(input).map(sectionHtml),
  ].join('\n');
  return page({ title, body, style: STYLE });
}

const STYLE = `
.digest { font: .75rem ui-monospace, monospace; opacity: .7; overflow-wrap: anywhere; }
.legend { font-size: .8rem; opacity: .8; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
ul { margin-top: .3rem; padding-left: 1.2rem; }
figure { margin: 0; }
svg { display: block; max-width: none; height: auto; }
svg text { fill: currentColor; }
svg .node path, svg .node polygon, svg .node ellipse { fill: none; stroke: currentColor; }
svg .cluster path, svg .cluster polygon { fill: #8881; stroke: #8886; }
svg .edge path { stroke: currentColor; } svg .edge polygon { fill: currentColor; stroke: currentColor; }
svg .edge.acts, svg .edge.depends { opacity: .55; }
svg .gate polygon, svg .gate path { stroke: #c77f10; stroke-width: 2; }
svg .table path, svg .table polygon, svg .table ellipse { stroke: #3182ce; }
svg .junction ellipse { fill: currentColor; }
svg .flag polygon, svg .flag polyline { stroke: #805ad5; fill: none; }
`;
