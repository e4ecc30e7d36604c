import type { Section } from './report-sections.ts';

/** Pages for people: one file, no script, nothing loaded from anywhere, readable on paper. */
export function page({ title, body, style = '' }: { title: string; body: string; style?: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${STYLE}${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** The text as HTML, taken literally. */
export const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
const cell = (text: string): string => {
  const shown = escaped(text);
  return /^https?:\/\/[^\s]+$/.test(text) ? `<a href="${shown}" rel="noreferrer">${shown}</a>` : shown;
};

/** A heading with its table, which scrolls by itself where it is wide. */
export function sectionHtml({ heading, columns, rows, empty }: Section): string {
  if (rows.length === 0) return `<h2>${escaped(heading)}</h2>\n<p>${escaped(empty ?? '')}</p>`;
  const named = columns.some((column) => column !== '');
  const head = named
    ? `<thead><tr>${columns.map((column) => `<th scope="col">${escaped(column)}</th>`).join('')}</tr></thead>`
    : '';
  const row = (cells: readonly string[]): string => {
    const [first = '', ...others] = cells;
    const start = named ? `<td>${cell(first)}</td>` : `<th scope="row">${cell(first)}</th>`;
    return `<tr>${start}${others.map((other) => `<td>${cell(other)}</td>`).join('')}</tr>`;
  };
  return `<h2>${escaped(heading)}</h2>
<div class="wide"><table>${head}<tbody>
${rows.map(row).join('\n')}
</tbody></table></div>`;
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; border-left: .4rem solid #777; padding-left: .8rem; }
h1.completed { border-color: #2a8f4a; } h1.failed, h1.rolled-back { border-color: #c0392b; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; overflow-wrap: break-word; }
thead th { white-space: nowrap; }
`;
