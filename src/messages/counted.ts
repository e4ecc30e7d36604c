/** Numbers as people read them: `300,000`. */
export const count = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `1 step`, `1,200 steps`. */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
