import { z } from 'zod';
import type { FlagDependency, FlagStrategy } from './flag-state.ts';

/**
 * What we read of the Admin API's answers, in all the forms that unleash-server 6 to 8 give them. Unknown fields are
 * ignored, so that a newer server may say more. What a flag is made of is needed: a server that gave it by another name
 * would otherwise be read as having none of it, and a strategy be written back without its constraints.
 */

const strategy = z
  .object({
    id: z.string(),
    name: z.string(),
    title: z.string().nullish(),
    disabled: z.boolean().nullish(),
    sortOrder: z.number().nullish(),
    constraints: z.array(z.unknown()),
    parameters: z.record(z.string(), z.unknown()),
    segments: z.array(z.number()),
    variants: z.array(z.unknown()),
  })
  .transform(
    (raw): FlagStrategy => ({
      ...raw,
      title: raw.title ?? '',
      disabled: raw.disabled ?? false,
      sortOrder: raw.sortOrder ?? 0,
      parameters: Object.fromEntries(Object.entries(raw.parameters).map(([key, value]) => [key, String(value)])),
      segments: raw.segments.toSorted((a, b) => a - b),
    }),
  );

export const strategies = z
  .array(strategy)
  .transform((all) => all.toSorted((a, b) => a.sortOrder - b.sortOrder || ((a.id ?? '') < (b.id ?? '') ? -1 : 1)));

const dependency = z
  .object({ feature: z.string(), enabled: z.boolean().nullish(), variants: z.array(z.string()).nullish() })
  .transform(
    ({ feature, enabled, variants }): FlagDependency => ({
      feature,
      enabled: enabled ?? true,
      variants: (variants ?? []).toSorted(),
    }),
  );

/** Variants of an environment itself, which Unleash deprecates: a server without them has none. */
const variants = z
  .array(z.unknown())
  .nullish()
  .transform((all) => all ?? []);

/** A flag with its environments: `GET /projects/:project/features/:flag?variantEnvironments=true`. */
export const feature = z.object({
  description: z.string().nullish(),
  environments: z.array(z.object({ name: z.string(), enabled: z.boolean(), strategies, variants })),
  dependencies: z.array(dependency).transform((all) => all.toSorted((a, b) => (a.feature < b.feature ? -1 : 1))),
  children: z.array(z.string()),
});

/** What is left to read of an archived flag: `GET …/environments/:environment`. */
export const environmentOfArchived = z.object({ enabled: z.boolean() });
export const variantsOfArchived = z.object({ variants });

export const projects = z.object({ projects: z.array(z.object({ id: z.string() })) });
/** `GET /environments/project/:project`; all the server has, `visible` where the project has it too. */
export const projectEnvironments = z.object({
  environments: z.array(z.object({ name: z.string(), enabled: z.boolean(), visible: z.boolean() })),
});

/** The stages that a flag has been in: `GET …/features/:flag/lifecycle`. */
export const lifecycle = z.array(z.object({ stage: z.string() }));

export const segment = z.object({ id: z.number() });

export const uiConfig = z.object({ version: z.string() });
