import { oneLine } from '../plain-text.ts';
import type { GraphEdge, GraphNode, NodeKind, PlanGraph } from './plan-graph.ts';

/** The graph for Graphviz. Classes, not colours: the page's style sheet paints it, light or dark. */
export function dotOf({ clusters, nodes, edges }: PlanGraph): string {
  const inside = (cluster: string | null): string[] => nodes.filter((node) => node.cluster === cluster).map(nodeText);
  return [
    'digraph plan {',
    'rankdir=TB; ranksep=0.4; nodesep=0.3; bgcolor=transparent; compound=true; newrank=true;',
    'node [fontname="Helvetica", fontsize=11, shape=box, style=rounded, margin="0.15,0.08"];',
    'edge [fontname="Helvetica", fontsize=9, arrowsize=0.7];',
    ...clusters.flatMap(({ id, kind, label }) => [
      `subgraph cluster_${id} { class="${kind}"; label=${quoted(label)}; fontname="Helvetica"; fontsize=12; style=rounded; margin=12;`,
      ...inside(id),
      '}',
    ]),
    ...inside(null),
    ...edges.map(edgeText),
    '}',
  ].join('\n');
}

const SHAPES: Record<NodeKind, string> = {
  service: 'box',
  table: 'cylinder',
  flag: 'note',
  step: 'box',
  gate: 'hexagon',
  junction: 'point',
  end: 'doublecircle',
};

const nodeText = ({ id, kind, lines }: GraphNode): string =>
  `${id} [class="${kind}", shape=${SHAPES[kind]}, label=${quoted(lines.map(oneLine).join('\n'))}];`;

const edgeText = ({ from, to, kind }: GraphEdge): string =>
  `${from} -> ${to} [class="${kind}"${kind === 'order' ? '' : ', style=dashed'}];`;

/** A DOT string: line ends are Graphviz's `\n`; a backslash or an entity of the text is no escape of its own. */
const quoted = (text: string): string =>
  `"${text.replaceAll('&', '&amp;').replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
