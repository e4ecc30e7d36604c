import { STEP_RULES, type StepRule } from '../../src/sql/rules/step-rules.ts';
import { RULES, type Rule, type RuleExample, type Severity } from '../../src/sql/index.ts';

export const RULE_PAGES = 'docs/rules';

const MEANS: Readonly<Record<Severity, string>> = {
  error: 'a plan that does this is refused, unless the engine avoids it or the step allows it',
  warning: 'told by `check`, never refused',
  note: 'told by `check`, never refused',
};

const sql = (text: string): string => `\`\`\`sql\n${text.trim().replace(/;?$/, ';')}\n\`\`\``;

function exampleLines({ given, meanwhile, up, down }: RuleExample): string[] {
  return [
    ...(given === '' ? ['On any schema:', ''] : ['Given', '', sql(given), '']),
    ...(meanwhile === undefined ? [] : [`and ${meanwhile.words}:`, '']),
    sql(up),
    ...(down === undefined ? [] : ['', 'with its own `down`:', '', sql(down)]),
  ];
}

function page({ code, severity, title, why, safeForm, examples }: Rule): string {
  return [
    `# ${title}`,
    '',
    `\`${code}\` · ${severity}: ${MEANS[severity]}.`,
    '',
    why,
    '',
    '## Instead',
    '',
    safeForm,
    '',
    '## It speaks up',
    '',
    ...exampleLines(examples.fires),
    '',
    '## It stays silent',
    '',
    `Here ${examples.silent.because}.`,
    '',
    ...exampleLines(examples.silent),
    '',
    '## To allow it',
    '',
    'In the `ddl` step, with the reason, which `check` and the report show:',
    '',
    '```yaml',
    'allow:',
    `  - { rule: ${code}, reason: … }`,
    '```',
    '',
    'The other rules: [all](README.md).',
    '',
  ].join('\n');
}

function stepPage({ code, severity, title, why, safeForm }: StepRule): string {
  const refused = severity === 'error';
  return [
    `# ${title}`,
    '',
    `\`${code}\` · ${refused ? 'error: a plan with such a step is refused' : `${severity}: it is told, and the plan runs`}.`,
    '',
    why,
    '',
    '## Instead',
    '',
    safeForm,
    '',
    ...(refused ? REFUSED : TOLD),
    '',
  ].join('\n');
}
const REFUSED = [
  "It is about steps of any kind but `ddl`, has no statement to show, and can't be allowed: the step would fail. The other",
  'rules: [all](README.md).',
];
const TOLD = [
  'It is about steps of any kind but `ddl`, and has no statement to show. The other rules: [all](README.md).',
];

function index(): string {
  const rows = RULES.map(({ code, severity, title }) => `| [\`${code}\`](${code}.md) | ${severity} | ${title} |`);
  return [
    '# Rules',
    '',
    'What `switchback check` says of the statements of `ddl` steps. Each rule looks at one statement and at the live',
    "catalog, as the plan's earlier statements leave it: so it stays silent where the table is new, empty or small, or",
    'where a valid constraint or an index is there already. An `error` keeps the plan from running, unless the engine',
    'avoids it by a safe form, which `check` shows, or the step names the rule in `allow` with a reason.',
    '',
    '| rule | severity | |',
    '| --- | --- | --- |',
    ...rows,
    '',
    '## About steps of other kinds',
    '',
    '| rule | severity | |',
    '| --- | --- | --- |',
    ...STEP_RULES.map(({ code, severity, title }) => `| [\`${code}\`](${code}.md) | ${severity} | ${title} |`),
    '',
  ].join('\n');
}

/** One page for each rule, and the list of them. */
export const rulePages = (): { path: string; content: string }[] => [
  { path: `${RULE_PAGES}/README.md`, content: index() },
  ...RULES.map((rule) => ({ path: `${RULE_PAGES}/${rule.code}.md`, content: page(rule) })),
  ...STEP_RULES.map((rule) => ({ path: `${RULE_PAGES}/${rule.code}.md`, content: stepPage(rule) })),
];
