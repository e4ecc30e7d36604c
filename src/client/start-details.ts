import { defineSearchAttributeKey, type SearchAttributePair, TypedSearchAttributes } from '@temporalio/common';
import type { PlanInput } from '../plan/index.ts';

/** What Temporal's UI shows of a migration from its first second on, before any worker has taken it up. */

/** The search attributes of a run that has just been started; the run itself keeps them up to date. */
export function startAttributes({ metadata, spec }: PlanInput): TypedSearchAttributes {
  const keyword = (name: string, value: string): SearchAttributePair => ({
    key: defineSearchAttributeKey(name, 'KEYWORD'),
    value,
  });
  const services = Object.keys(spec.services ?? {});
  return new TypedSearchAttributes([
    keyword('SwitchbackStatus', 'running'),
    keyword('SwitchbackOwner', metadata.owner),
    keyword('SwitchbackRisk', spec.risk ?? 'moderate'),
    ...(services.length > 0
      ? [{ key: defineSearchAttributeKey('SwitchbackServices', 'KEYWORD_LIST'), value: services }]
      : []),
  ]);
}

/** Temporal UI puts the text into the address of a frame, and proxies bound the length of addresses. */
const PHASES_MAX = 30;
const STEPS_LENGTH_MAX = 100;
/** The frame cuts off its last line: let it be this no-break space. */
const ROOM_BELOW = '\u00a0';
const SUMMARY_LENGTH_MAX = 120;
const cut = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max - 1)}…`);

/** The plan's summary, as short as the line that shows it. */
export const startSummary = ({ spec }: PlanInput): string => cut(spec.summary, SUMMARY_LENGTH_MAX);
/** Plan text goes into Markdown: what would be markup there is taken literally, and a line stays a line. */
const plain = (text: string): string => text.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>|#]/g, '\\$&');

/** The fixed details of a run, as Markdown that Temporal's UI can show: who, what, in which order. */
export function startDetails({ metadata, spec }: PlanInput, digest: string, requestedBy: string): string {
  const phases = spec.phases.slice(0, PHASES_MAX).map((phase) => {
    const steps = phase.steps.map((step) => `${step.id} (${step.uses})`).join(', ');
    return `| ${plain(phase.name)} | ${plain(cut(steps, STEPS_LENGTH_MAX))} |`;
  });
  const more = spec.phases.length - phases.length;
  return [
    plain(spec.summary),
    '',
    `- Version: ${metadata.version}`,
    `- Owner: ${plain(metadata.owner)}`,
    `- Requested by: ${plain(requestedBy)}`,
    `- Services: ${plain(Object.keys(spec.services ?? {}).join(', ')) || 'none named'}`,
    `- Digest: \`${digest}\``,
    '',
    '| Phase | Steps |',
    '| --- | --- |',
    ...phases,
    ...(more > 0 ? [`| and ${more} more | |`] : []),
    '',
    ROOM_BELOW,
  ].join('\n');
}
