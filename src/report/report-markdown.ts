import type { Status } from '../messages/index.ts';
import type { ReportFacts } from './report-facts.ts';
import { reportOf, type Section } from './report-sections.ts';

/** The report on a migration as Markdown (GitHub's tables). Text from plans and people is taken literally. */
export function reportMarkdown(status: Status, facts: ReportFacts): string {
  const { title, summary, sections } = reportOf(status, facts);
  return [`# ${escaped(title)}`, ...(summary === '' ? [] : [escaped(summary)]), ...sections.map(sectionMarkdown)].join(
    '\n\n',
  );
}

const escaped = (text: string): string => text.replace(/[\\`*_[\]<>|~]/g, '\\$&').replace(/^([#+-])/, '\\$1');

function sectionMarkdown({ heading, columns, rows, empty }: Section): string {
  if (rows.length === 0) return `## ${heading}\n\n${empty ?? ''}`;
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => escaped(cell)).join(' | ')} |`;
  return [`## ${heading}`, '', line(columns), `|${' --- |'.repeat(columns.length)}`, ...rows.map(line)].join('\n');
}
