import type { FlagState, OurStrategy } from '../../src/adapters/unleash/flag-state.ts';
import { type FlagRef, Unleash } from '../../src/adapters/unleash/unleash.ts';
import { adminOf, type VersionedUnleash } from '../harness/unleash-servers.ts';
import { unique } from './room.ts';

export const signal = new AbortController().signal;
export const refOf = (more: Partial<FlagRef> = {}): FlagRef => ({
  project: 'default',
  environment: 'development',
  flag: unique('flag'),
  type: 'release',
  description: 'of a test',
  ...more,
});
export const ourOf = ({ flag }: FlagRef): OurStrategy => ({
  title: 'Switchback: m',
  groupId: flag,
  stickiness: 'userId',
});
export const pathOf = ({ project, flag }: FlagRef): string => `/projects/${project}/features/${flag}`;
export const strategiesOf = (ref: FlagRef): string => `${pathOf(ref)}/environments/${ref.environment}/strategies`;
export const rollout = (percent: number) => ({
  name: 'flexibleRollout',
  title: 'by hand',
  parameters: { rollout: String(percent), groupId: 'g', stickiness: 'default' },
});

/** What the suite needs of a version. */
export class Server {
  readonly server: VersionedUnleash;
  readonly unleash: Unleash;
  constructor(server: VersionedUnleash) {
    this.server = server;
    this.unleash = this.with(server.adminToken);
  }
  with = (adminToken: string, url = this.server.url): Unleash => new Unleash({ url, adminToken });
  admin = (method: string, path: string, body?: unknown): Promise<unknown> => adminOf(this.server, method, path, body);
  read = (ref: FlagRef): Promise<FlagState> => this.unleash.read(ref, signal);
  write = (ref: FlagRef, state: FlagState): Promise<FlagState> => this.unleash.write(ref, state, signal);
  /** Made as people make one, with the Admin API alone. */
  async make(ref: FlagRef, strategies: object[] = []): Promise<void> {
    await this.admin('POST', `/projects/${ref.project}/features`, { name: ref.flag, type: 'release' });
    for (const strategy of strategies) await this.admin('POST', strategiesOf(ref), strategy);
  }
  switch = (ref: FlagRef, to: 'on' | 'off', environment = ref.environment): Promise<unknown> =>
    this.admin('POST', `${pathOf(ref)}/environments/${environment}/${to}`);
}
