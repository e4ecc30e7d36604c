import { instance } from '@viz-js/viz';

/** Graphviz's drawing of a DOT text, as an SVG element for a page. Nothing of the text is run: it is drawn. */
export async function svgOf(dot: string): Promise<string> {
  const graphviz = await instance();
  const drawn = graphviz.renderString(dot, { format: 'svg', engine: 'dot' });
  // The page is HTML: the XML declaration and the document type before the element don't belong there.
  return drawn.slice(drawn.indexOf('<svg'));
}
