import type { Status } from '../messages/index.ts';
import { escaped, page, sectionHtml } from './html.ts';
import type { ReportFacts } from './report-facts.ts';
import { reportOf } from './report-sections.ts';

/** The report on a migration as one HTML file. */
export function reportHtml(status: Status, facts: ReportFacts): string {
  const { title, summary, sections } = reportOf(status, facts);
  const body = [
    `<h1 class="${status.status}">${escaped(title)}</h1>`,
    `<p>${escaped(summary)}</p>`,
    ...sections.map(sectionHtml),
  ].join('\n');
  return page({ title, body });
}
