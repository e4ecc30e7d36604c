import { oneLine } from '../plain-text.ts';
import type { GraphEdge, GraphNode, NodeKind, PlanGraph } from './plan-graph.ts';

/** The graph as a Mermaid flowchart, as GitHub draws it. Every text is taken literally. */
export function mermaidOf({ clusters, nodes, edges }: PlanGraph): string {
  const inside = (cluster: string | null): string[] =>
    nodes.filter((node) => node.cluster === cluster).map((node) => `    ${nodeText(node)}`);
  return [
    'flowchart TB',
    ...clusters.flatMap(({ id, label }) => [`  subgraph ${id}["${literal(label)}"]`, ...inside(id), '  end']),
    ...inside(null),
    ...edges.map((edge) => `  ${edgeText(edge)}`),
    ...Object.entries(CLASSES).map(([kind, style]) => `  classDef ${kind} ${style}`),
    ...(Object.keys(CLASSES) as NodeKind[]).flatMap((kind) => {
      const of = nodes.filter((node) => node.kind === kind).map(({ id }) => id);
      return of.length === 0 ? [] : [`  class ${of.join(',')} ${kind}`];
    }),
  ].join('\n');
}

/** Borders only: the fill is the viewer's, light or dark. */
const CLASSES: Partial<Record<NodeKind, string>> = {
  gate: 'stroke:#b7791f,stroke-width:2px',
  table: 'stroke:#2b6cb0',
  flag: 'stroke:#6b46c1',
};
const SHAPES: Record<NodeKind, readonly [string, string]> = {
  service: ['([', '])'],
  table: ['[(', ')]'],
  flag: ['>', ']'],
  step: ['[', ']'],
  gate: ['{{', '}}'],
  junction: ['((', '))'],
  end: ['((', '))'],
};

function nodeText({ id, kind, lines }: GraphNode): string {
  const [open, close] = SHAPES[kind];
  // An empty label is none: Mermaid would show the id.
  if (lines.length === 0) return `${id}${open}" "${close}`;
  return `${id}${open}"${lines.map(literal).join('<br/>')}"${close}`;
}

const edgeText = ({ from, to, kind }: GraphEdge): string => `${from} ${kind === 'order' ? '-->' : '-.->'} ${to}`;

/** Mermaid reads HTML and Markdown in labels, and takes its own entities (`#35;`) for what should be neither. */
const literal = (text: string): string =>
  oneLine(text).replace(/[^\p{L}\p{N} .,:/()-]/gu, (character) => `#${character.codePointAt(0)};`);
