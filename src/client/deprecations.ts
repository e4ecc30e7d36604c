/** A version of an interface that a migration has deprecated. Instants are in UTC: `2026-12-01T00:00:00Z`. */
export interface Deprecation {
  /** The migration that says so, and its step. */
  migration: string;
  step: string;
  interface: string;
  version: string;
  /** Since when it is deprecated. */
  at: string;
  /** When it may go away. */
  sunset: string;
  link: string | null;
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
