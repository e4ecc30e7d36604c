/** Numbers as people read them: `300,000`. By no locale, so that a workflow may use it as well. */
export const count = (value: number): string => String(Math.round(value)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');

/** `1 step`, `1,200 steps`. */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
