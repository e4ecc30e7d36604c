/** How many letters to add, drop, change or swap with a neighbour to get from one word to the other (Damerau, optimal string alignment). */
export function editDistance(from: string, to: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const change = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      let best = Math.min(change, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        best = Math.min(best, (before[j - 2] ?? 0) + 1);
      }
      row.push(best);
    }
    before = previous;
    previous = row;
  }
  return previous[to.length] ?? 0;
}

const plain = (word: string): string => word.toLowerCase().replaceAll(/[-_\s]/g, '');

/** The word that was probably meant, or undefined: at most a third of it may differ; case, `-` and `_` are forgiven. */
export function nearest(word: string, allowed: readonly string[]): string | undefined {
  if (word.length > 100) return undefined;
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of allowed) {
    if (candidate.length > 100) continue;
    const distance = editDistance(plain(word), plain(candidate));
    const most = Math.max(1, Math.floor(Math.min(candidate.length, word.length) / 3));
    if (distance <= most && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === word ? undefined : best;
}
