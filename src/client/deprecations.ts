import type { RecordedDeprecation } from '../messages/index.ts';

/** A deprecation on record, with what a service answers. */
export interface Deprecation extends RecordedDeprecation {
  /** What to answer with, as HTTP wants it: RFC 9745 and RFC 8594. `Link` only where there is a link. */
  headers: { Deprecation: string; Sunset: string; Link?: string };
}

/** The values of the headers: a date of structured fields (RFC 9651), an HTTP date, a link to either. */
export function deprecationHeaders(of: Pick<Deprecation, 'at' | 'sunset' | 'link'>): Deprecation['headers'] {
  const seconds = Math.floor(Date.parse(of.at) / 1000);
  return {
    Deprecation: `@${seconds}`,
    Sunset: new Date(of.sunset).toUTCString(),
    ...(of.link !== null && { Link: `<${of.link}>; rel="deprecation", <${of.link}>; rel="sunset"` }),
  };
}
