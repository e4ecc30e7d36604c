import { isEnd, type PhaseStatus, type Status, type StepStatus } from '../messages/index.ts';
import { bar, instant, progressWords, span } from './figures.ts';
import { nextCommands } from './next-commands.ts';
import { type Paint, painter } from './paint.ts';
import { columnsOf, fit, oneLine, pad, wrap } from './plain-text.ts';
import { PHASE_MARKS, RUN_TONES, STEP_MARKS } from './state-marks.ts';

export interface StatusTextOptions {
  /** Columns of the terminal. */
  width: number;
  color: boolean;
  /** How this command line is called here, such as `npx switchback`. */
  program: string;
  /** The present, for 'so long ago'. */
  now: Date;
  /** Lines there is room for: with more to say, phases without anything under way shrink to a line. */
  rowsMax?: number | undefined;
}

const INDENT = 4;
const BAR_COLUMNS_MAX = 24;
const USES_COLUMNS = 10;
const REFUSED_SHOWN_MAX = 5;

/** A migration's status as text for people: what goes on, each phase and step, gates, and what to type next. */
export function statusText(status: Status, options: StatusTextOptions): string {
  return statusLines(status, options).join('\n');
}

export function statusLines(status: Status, options: StatusTextOptions): string[] {
  const width = Math.max(30, options.width);
  const paint = painter(options.color);
  const head = headLines(status, width, paint, options.now);
  const tail = [
    ...gateLines(status, width, paint),
    ...refusedLines(status, width, paint),
    ...nextLines(status, width, paint, options.program),
  ];
  const idWidth = Math.min(
    32,
    Math.max(0, ...status.phases.flatMap(({ steps }) => steps.map(({ id }) => columnsOf(id)))),
  );
  const phases = (collapse: boolean): string[] =>
    status.phases.flatMap((phase) =>
      phaseLines(phase, { width, paint, idWidth, collapse, ended: isEnd(status.status), now: options.now }),
    );
  const whole = phases(false);
  const { rowsMax = Number.POSITIVE_INFINITY } = options;
  const room = rowsMax - head.length - tail.length;
  if (whole.length <= room) return [...head, ...whole, ...tail];
  const short = phases(true);
  if (short.length <= room) return [...head, ...short, ...tail];
  const shown = Math.max(1, room - 1);
  const left = short.length - shown;
  return [...head, ...short.slice(0, shown), paint('dim', `  … ${left} more lines`), ...tail].slice(
    0,
    Math.max(1, rowsMax),
  );
}

function headLines(status: Status, width: number, paint: Paint, now: Date): string[] {
  const title = `${oneLine(status.name)} v${status.version}`;
  const ended = isEnd(status.status);
  const from = Date.parse(status.startedAt);
  const to = ended ? Date.parse(status.updatedAt) : now.getTime();
  const about = [
    `${ended ? 'took' : 'for'} ${span(to - from)}`,
    status.requestedBy === '' ? '' : `requested by ${oneLine(status.requestedBy)}`,
    status.owner === '' ? '' : `owner ${oneLine(status.owner)}`,
    status.risk === '' ? '' : `risk ${status.risk}`,
  ].filter((part) => part !== '');
  const lines = [`${paint('strong', fit(title, width - 20))}  ${paint(RUN_TONES[status.status], status.status)}`];
  const reason = oneLine(status.reason);
  if (reason !== '') lines.push(...wrap(reason, width - 2).map((line) => `  ${line}`));
  const hint = oneLine(status.error?.hint ?? '');
  if (hint !== '') lines.push(...wrap(hint, width - 2).map((line) => paint('dim', `  ${line}`)));
  for (const { what, since, words } of status.degraded ?? []) {
    const long = since === null ? '' : ` for ${span(now.getTime() - Date.parse(since))}`;
    const said = wrap(`degraded${long}: ${oneLine(what)}: ${oneLine(words)}`, width - 2);
    lines.push(...said.map((line) => paint('warn', `  ${line}`)));
  }
  lines.push(paint('dim', fit(`  ${about.join(', ')}`, width)));
  if (status.source === 'ledger') {
    lines.push(paint('warn', fit(`  no worker answers: as the ledger had it at ${instant(status.updatedAt)}`, width)));
  }
  return [...lines, ''];
}

interface PhaseLayout {
  width: number;
  paint: Paint;
  idWidth: number;
  collapse: boolean;
  ended: boolean;
  now: Date;
}

const IDLE = new Set(['pending', 'done', 'undone', 'skipped']);

function phaseLines(phase: PhaseStatus, { width, paint, idWidth, collapse, ended, now }: PhaseLayout): string[] {
  const mark = PHASE_MARKS[phase.state];
  const words = phase.state === 'done' || phase.state === 'pending' ? '' : phase.state.replaceAll('-', ' ');
  const idle = phase.steps.every(({ state }) => IDLE.has(state));
  const steps = collapse && idle ? `${phase.steps.length} ${phase.steps.length === 1 ? 'step' : 'steps'}` : '';
  const note = [words, steps].filter((part) => part !== '').join(', ');
  const line = `${paint(mark.tone, mark.sign)} ${paint('strong', fit(phase.name, width - 24))}${note === '' ? '' : `  ${paint('dim', note)}`}`;
  if (collapse && idle) return [line];
  return [line, ...phase.steps.flatMap((step) => stepLines(step, { width, paint, idWidth, ended, now }))];
}

function stepLines(step: StepStatus, { width, paint, idWidth, ended, now }: Omit<PhaseLayout, 'collapse'>): string[] {
  const mark = STEP_MARKS[step.state];
  const sign = `${' '.repeat(INDENT - 2)}${paint(mark.tone, mark.sign)} `;
  const column = INDENT + idWidth + 2 + USES_COLUMNS + 2;
  const room = width - column;
  if (room < 8) return [`${sign}${fit(step.id, width - INDENT)}`];
  const start = `${sign}${pad(fit(step.id, idWidth), idWidth)}  ${paint('dim', pad(step.uses, USES_COLUMNS))}`;
  const note = [step.nextAt === undefined ? '' : inWords(step.nextAt, now), oneLine(step.note ?? '')]
    .filter((part) => part !== '')
    .join(', ');
  const active = !ended && (step.state === 'running' || step.state === 'undoing');
  const plainState = ['pending', 'done', 'running'].includes(step.state) ? '' : step.state;
  if (step.progress === null || !active) {
    const words = [plainState, note].filter((part) => part !== '').join(': ');
    return [words === '' ? start.trimEnd() : `${start}  ${toned(paint, step, fit(words, room))}`];
  }
  const words = progressWords(step.progress, true);
  const barColumns = Math.min(BAR_COLUMNS_MAX, room - columnsOf(words) - 1);
  const drawn = bar(step.progress, barColumns);
  const figures = drawn === '' ? fit(words, room) : `${paint('active', drawn)} ${words}`;
  const first = `${start}  ${figures}`;
  const noteColumn = Math.min(column, Math.floor(width / 3));
  return note === '' ? [first] : [first, `${' '.repeat(noteColumn)}${paint('dim', fit(note, width - noteColumn))}`];
}

/** Counted from the present, which only the reader knows: a status may be an hour old. */
const inWords = (at: string, now: Date): string => {
  const ms = Date.parse(at) - now.getTime();
  return ms > 0 ? `goes in ${span(ms)}` : '';
};
const toned = (paint: Paint, step: StepStatus, text: string): string =>
  step.state === 'failed' ? paint('bad', text) : step.state === 'held' ? paint('warn', text) : paint('dim', text);

function gateLines(status: Status, width: number, paint: Paint): string[] {
  const open = status.gates.filter(({ state, overrides }) => state === 'open' && overrides === undefined);
  if (open.length === 0) return [];
  const lines = open.map((gate) => {
    const who = gate.roles.length > 0 ? ` by ${gate.roles.join(' or ')}` : '';
    const so = gate.approvedBy.length > 0 ? `, so far ${gate.approvedBy.map(oneLine).join(', ')}` : '';
    const until = gate.expiresAt === null ? '' : `, expires ${instant(gate.expiresAt)}`;
    return fit(`  ${gate.gate}: ${gate.approvedBy.length} of ${gate.min} approvals${who}${so}${until}`, width);
  });
  return ['', paint('strong', 'Open gates'), ...lines];
}

function refusedLines(status: Status, width: number, paint: Paint): string[] {
  if (status.refused.length === 0) return [];
  const last = status.refused.slice(-REFUSED_SHOWN_MAX);
  // The reason is what a person has to read; of the message its verb tells enough, and the report has it whole.
  const lines = last.flatMap(({ at, message, reason }) => [
    fit(`  ${instant(at)} ${oneLine(message)}`, width),
    ...wrap(oneLine(reason), width - 4).map((line) => `    ${line}`),
  ]);
  const more = status.refused.length - last.length;
  return [
    '',
    paint('strong', `Refused messages${more > 0 ? ` (the last ${last.length} of ${status.refused.length})` : ''}`),
    ...lines,
  ];
}

/** Commands and links are never cut: a person copies them whole. */
function nextLines(status: Status, width: number, paint: Paint, program: string): string[] {
  const commands = nextCommands(status, program);
  const links = Object.entries(status.links);
  if (commands.length === 0 && links.length === 0) return [];
  const column = Math.max(0, ...commands.map(({ why }) => columnsOf(why))) + 2;
  const rows = commands.flatMap(({ why, command }) =>
    2 + column + columnsOf(command) <= width
      ? [`  ${paint('dim', pad(why, column))}${command}`]
      : [`  ${paint('dim', why)}`, `    ${command}`],
  );
  const linked = links.map(([name, url]) => `  ${paint('dim', `${oneLine(name)}: `)}${oneLine(url)}`);
  return ['', paint('strong', isEnd(status.status) || commands.length === 0 ? 'See' : 'Next'), ...rows, ...linked];
}
