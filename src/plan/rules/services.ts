import semver from 'semver';
import type { Draft } from '../draft.ts';
import { type Finding, invalid } from '../finding.ts';
import { unknownName } from './names.ts';
import { circleFrom } from './order.ts';

/** Dependencies between services, and whether what one consumes is something another provides. */
export function serviceFindings(draft: Draft): Finding[] {
  return [
    ...dependencyFindings(draft),
    ...circleFindings(draft),
    ...providedFindings(draft),
    ...consumedFindings(draft),
  ];
}

function dependencyFindings(draft: Draft): Finding[] {
  return draft.services.flatMap(({ path, name, service }) =>
    service.dependsOn.flatMap((other, index) => {
      const at = [...path, 'dependsOn', index];
      if (other === name) return [invalid(at, `service "${name}" depends on itself`)];
      if (draft.serviceNames.includes(other)) return [];
      const known = draft.serviceNames.filter((one) => one !== name);
      return [unknownName(at, `there is no service "${other}" in spec.services`, other, known)];
    }),
  );
}

function circleFindings(draft: Draft): Finding[] {
  const next = new Map(
    draft.services.map(({ name, service }) => [name, service.dependsOn.filter((other) => other !== name)]),
  );
  const told = new Set<string>();
  return draft.services.flatMap(({ path, name }) => {
    const circle = told.has(name) ? null : circleFrom(name, (at) => next.get(at) ?? []);
    if (circle === null) return [];
    for (const member of circle) told.add(member);
    const words = [...circle, name].map((member) => `"${member}"`).join(' → ');
    return [invalid([...path, 'dependsOn'], `services depend on each other in a circle: ${words}`)];
  });
}

function providedFindings(draft: Draft): Finding[] {
  return draft.services.flatMap(({ path, service }) =>
    Object.entries(service.provides).flatMap(([name, versions]) =>
      versions.flatMap((version, index) =>
        semver.valid(version) === null
          ? [
              invalid([...path, 'provides', name, index], 'expected a semantic version such as "1.4.0"', {
                found: JSON.stringify(version),
              }),
            ]
          : [],
      ),
    ),
  );
}

/** The static part of the compatibility matrix: a range that covers none of the provided versions can never work. */
function consumedFindings(draft: Draft): Finding[] {
  const provided = new Map<string, string[]>();
  for (const { service } of draft.services) {
    for (const [name, versions] of Object.entries(service.provides)) {
      provided.set(name, [
        ...(provided.get(name) ?? []),
        ...versions.filter((version) => semver.valid(version) !== null),
      ]);
    }
  }
  const complete = draft.services.length === draft.serviceNames.length;
  return draft.services.flatMap(({ path, service }) =>
    Object.entries(service.consumes).flatMap(([name, range]) => {
      const at = [...path, 'consumes', name];
      if (semver.validRange(range) === null) {
        return [invalid(at, 'expected a range of versions such as ">=1.2 <3"', { found: JSON.stringify(range) })];
      }
      const versions = provided.get(name);
      if (versions === undefined) {
        return complete
          ? [
              {
                ...unknownName(at, `no service of this plan provides "${name}"`, name, [...provided.keys()]),
                at: 'key' as const,
              },
            ]
          : [];
      }
      const covered =
        versions.length === 0 ||
        versions.some((version) => semver.satisfies(version, range, { includePrerelease: true }));
      return covered
        ? []
        : [
            invalid(at, `the range covers none of the versions that are provided (${versions.join(', ')})`, {
              found: JSON.stringify(range),
            }),
          ];
    }),
  );
}
