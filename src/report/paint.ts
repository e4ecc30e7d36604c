/** Colours for terminals; all of them the identity where colour is off. */
export type Tone = 'good' | 'active' | 'warn' | 'bad' | 'dim' | 'strong';
export type Paint = (tone: Tone, text: string) => string;

const CODES: Record<Tone, number> = { good: 32, active: 36, warn: 33, bad: 31, dim: 2, strong: 1 };

export const painter = (color: boolean): Paint =>
  color ? (tone, text) => `\u001b[${CODES[tone]}m${text}\u001b[0m` : (_, text) => text;
