import semver from 'semver';
import type { Plan } from './plan.ts';

/** A version of an interface that a plan takes out of life, and whom that concerns. */
export interface PlannedDeprecation {
  step: string;
  interface: string;
  version: string;
  /** As the plan says them: a day, or an instant. */
  at: string;
  sunset: string;
  link: string | null;
  /** Services that provide the version. */
  providers: string[];
  /** Services whose declared range takes the version in. */
  consumers: Consumer[];
}
export interface Consumer {
  service: string;
  range: string;
  /** No version that stays is in its range: it has to be upgraded before the sunset. */
  mustUpgrade: boolean;
}
type Services = Plan['spec']['services'];

/** What the `deprecate` steps of a plan announce, in the plan's order. */
export function plannedDeprecations({ spec }: Pick<Plan, 'spec'>): PlannedDeprecation[] {
  const steps = spec.phases.flatMap(({ steps: all }) => all.filter((step) => step.uses === 'deprecate'));
  const goes = (name: string, version: string): boolean =>
    steps.some((step) => step.interface === name && step.version === version);
  return steps.map((step) => ({
    step: step.id,
    interface: step.interface,
    version: step.version,
    at: step.at,
    sunset: step.sunset,
    link: step.link ?? null,
    providers: Object.entries(spec.services)
      .filter(([, { provides }]) => provides[step.interface]?.includes(step.version) === true)
      .map(([service]) => service),
    consumers: consumersOf(spec.services, step, (version) => !goes(step.interface, version)),
  }));
}

function consumersOf(
  services: Services,
  { interface: name, version }: { interface: string; version: string },
  stays: (version: string) => boolean,
): Consumer[] {
  const remaining = Object.values(services)
    .flatMap(({ provides }) => provides[name] ?? [])
    .filter(stays);
  return Object.entries(services).flatMap(([service, { consumes }]) => {
    const range = consumes[name];
    if (range === undefined || !covers(range, version)) return [];
    return [{ service, range, mustUpgrade: !remaining.some((other) => covers(range, other)) }];
  });
}

/** A version or a range that isn't semantic can't be compared: then whoever consumes the interface is concerned. */
const covers = (range: string, version: string): boolean =>
  semver.valid(version) === null || semver.validRange(range) === null
    ? true
    : semver.satisfies(version, range, { includePrerelease: true });
