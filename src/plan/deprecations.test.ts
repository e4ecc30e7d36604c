import { expect, it } from 'vitest';
import { plannedDeprecations } from './deprecations.ts';
import { planSchema, type PlanInput } from './plan.ts';

const announce = { uses: 'deprecate', interface: 'user', at: '2026-12-01', sunset: '2027-03-01' } as const;
const planWith = (services: PlanInput['spec']['services'], steps: PlanInput['spec']['phases'][0]['steps']) =>
  planSchema.parse({
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'a', version: 1, owner: 'o' },
    spec: { summary: 's', risk: 'low', services, phases: [{ name: 'one', steps }] },
  });

it('names who provides and who consumes the version, and who is left with none', () => {
  const services = {
    accounts: { provides: { user: ['1.3.0', '1.4.0', '2.0.0'], login: ['1.0.0'] } },
    mirror: { provides: { user: ['1.4.0'] } },
    billing: { consumes: { user: '>=1.2 <3' } },
    search: { consumes: { user: '>=1 <2' } },
    reports: { consumes: { user: '^2.0.0' } },
    mail: { consumes: { login: '1' } },
    odd: { consumes: { user: 'whatever' } },
  };
  const steps = [
    { id: 'old', ...announce, version: '1.4.0' },
    { id: 'older', ...announce, version: '1.3.0', link: 'https://docs.example.com' },
  ];
  const [old, older] = plannedDeprecations(planWith(services, steps));
  expect(old).toEqual({
    ...{ step: 'old', interface: 'user', version: '1.4.0', at: '2026-12-01', sunset: '2027-03-01', link: null },
    providers: ['accounts', 'mirror'],
    consumers: [
      { service: 'billing', range: '>=1.2 <3', mustUpgrade: false },
      // Both versions that it takes go with this plan.
      { service: 'search', range: '>=1 <2', mustUpgrade: true },
      // Nobody can tell, so it is told.
      { service: 'odd', range: 'whatever', mustUpgrade: false },
    ],
  });
  expect(older).toMatchObject({ version: '1.3.0', link: 'https://docs.example.com', providers: ['accounts'] });
});

it('is empty where nothing is deprecated', () => {
  expect(plannedDeprecations(planWith({}, [{ id: 'rest', uses: 'wait', for: '1s' }]))).toEqual([]);
});
