import { count, type Progress } from '../messages/index.ts';

/** `12,500/s`. */
export function rate(perSecond: number): string {
  return `${perSecond < 10 ? perSecond.toLocaleString('en-US', { maximumFractionDigits: 1 }) : count(perSecond)}/s`;
}

/** A span of time in its two largest units. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${two(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${two(hours % 24)}h`;
}

/** The share done, from 0 to 1; null where the total is unknown. */
export function shareOf({ done, total }: Progress): number | null {
  return total === null ? null : total <= 0 ? 1 : Math.min(1, Math.max(0, done / total));
}

/** `150,000 of 300,000  50%  12,000/s  12s left`, as far as it is known. */
export function progressWords(progress: Progress, running: boolean): string {
  const share = shareOf(progress);
  const parts = [
    progress.total === null ? count(progress.done) : `${count(progress.done)} of ${count(progress.total)}`,
  ];
  // Rounded down: 100 % is only said when it is done.
  if (share !== null) parts.push(`${Math.floor(share * 100)}%`);
  if (running && progress.perSecond !== null) parts.push(rate(progress.perSecond));
  if (running && progress.etaSeconds !== null) parts.push(`${span(progress.etaSeconds * 1000)} left`);
  return parts.join('  ');
}

/** A bar of so many columns; empty where the total is unknown. */
export function bar(progress: Progress, columns: number): string {
  const share = shareOf(progress);
  if (share === null || columns < 4) return '';
  const full = Math.floor(share * columns);
  return '█'.repeat(full) + '░'.repeat(columns - full);
}

/** `2026-12-01 10:00:05Z`: an instant as people compare it, to the second. */
export const instant = (iso: string): string => {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : `${at.toISOString().slice(0, 19).replace('T', ' ')}Z`;
};
