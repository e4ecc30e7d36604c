import { counted, type CheckFinding, type LiveCheck } from '../messages/index.ts';
import type { Paint, Tone } from './paint.ts';
import { oneLine, wrap } from './plain-text.ts';

/** Where a rule's page lies, from the root of the repository. */
export const rulePage = (rule: string): string => `docs/rules/${rule}.md`;

/** A rule's text as a terminal shows it: of a link its words. */
export const withoutLinks = (markdown: string): string => markdown.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1');

interface Group {
  title: (number: number) => string;
  tone: Tone;
  has: (finding: CheckFinding) => boolean;
}
const isTold = (finding: CheckFinding): boolean => !finding.refused && finding.allowed === null && !finding.avoided;
const GROUPS: readonly Group[] = [
  {
    title: (of) => `${counted(of, 'error')}: refused; a \`ddl\` step may \`allow\` a rule with a reason`,
    tone: 'bad',
    has: ({ refused }) => refused,
  },
  {
    title: (of) => counted(of, 'warning'),
    tone: 'warn',
    has: (finding) => isTold(finding) && finding.severity === 'warning',
  },
  { title: (of) => counted(of, 'note'), tone: 'dim', has: (finding) => isTold(finding) && finding.severity === 'note' },
  {
    title: (of) => `${of} avoided: the engine runs the safe form`,
    tone: 'good',
    has: ({ avoided, allowed, refused }) => avoided && allowed === null && !refused,
  },
  {
    title: (of) => `${of} allowed by the plan`,
    tone: 'dim',
    has: ({ allowed, refused }) => allowed !== null && !refused,
  },
];

/** What the rules have found, worst first: where it is, what would happen, what to write instead, the rule's page. */
export function findingLines(
  { findings }: Pick<LiveCheck, 'findings'>,
  { file, width, paint }: { file: string; width: number; paint: Paint },
): string[] {
  return GROUPS.flatMap((group) => {
    const found = findings.filter(group.has);
    if (found.length === 0) return [];
    return [
      '',
      ...wrap(group.title(found.length), Math.max(20, width)).map((line) => paint(group.tone, line)),
      ...found.flatMap((finding) => lines(finding, { file, width, paint, tone: group.tone })),
    ];
  });
}

function lines(
  finding: CheckFinding,
  { file, width, paint, tone }: { file: string; width: number; paint: Paint; tone: Tone },
): string[] {
  const { rule, phase, step, statement, line, column, message, safeForm, avoided, allowed } = finding;
  const place = line === null ? '' : `  ${file}:${line}:${column ?? 1}`;
  const of = statement === null ? '' : `, statement ${statement}`;
  const say = (text: string): string[] => wrap(oneLine(text), Math.max(20, width - 4)).map((part) => `    ${part}`);
  // What is avoided stands with its statement already, as what will really run.
  const instead =
    safeForm === '' || avoided
      ? []
      : withoutLinks(safeForm)
          .split('\n')
          .flatMap((part, i) => say(i === 0 ? `instead: ${part}` : part));
  return [
    // A place is never cut: terminals make a link of it.
    `  ${paint(tone, rule)}  ${phase}/${step}${of}${place}`,
    ...say(message),
    ...(allowed === null ? instead : say(`allowed: ${allowed}`)),
    paint('dim', `    ${rulePage(rule)}`),
  ];
}
