import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DevFile } from '../dev/dev-file.ts';
import { SwitchbackError } from '../messages/index.ts';
import { type Config, loadConfig, readConfig, serversWanted } from './config.ts';

const DEV: DevFile = {
  temporal: { address: '127.0.0.1:7233', ui: 'http://127.0.0.1:8233' },
  databases: {
    'billing-db': 'postgres://dev@127.0.0.1/billing-db',
    switchback_ledger: 'postgres://dev@127.0.0.1/ledger',
  },
  unleash: { url: 'http://127.0.0.1:4242', adminToken: 'dev-admin', clientToken: 'dev-client' },
  board: null,
  config: null,
  pids: { worker: null, temporal: 1, postgres: 2, unleash: 3 },
};
const SECRET = 'hunter2';
const WHSEC = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=';
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'switchback-config-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const load = (text: string, env: Record<string, string> = {}, dev: DevFile | null = null): Config => {
  const file = join(dir, 'c.yaml');
  writeFileSync(file, text);
  return loadConfig({ file, env, dev });
};
/** The message of the refusal, without the directory. */
const refusal = (text: string, env: Record<string, string> = {}, dev: DevFile | null = null): string => {
  try {
    load(text, env, dev);
  } catch (error) {
    expect(error).toBeInstanceOf(SwitchbackError);
    return (error as Error).message.replaceAll(`${dir}/`, '');
  }
  throw new Error('the configuration was accepted');
};

describe('the configuration', () => {
  it('is read whole, with variables from the environment', () => {
    const config = load(
      `
taskQueue: moves
ledger: accounts-db
databases:
  accounts-db: {url: "\${URL}", directUrl: "\${URL}?direct", replicas: ["\${URL}?replica"], room: 1.5TB, throttle: {maxRowsPerSecond: 20000}, labels: {users: [pii]}}
unleash: {url: "https://flags.example.com", adminToken: "\${TOKEN}", clientToken: "a$\${b"}
prometheus: {url: "http://prometheus:9090"}
approvers: {dba: [ana@example.com]}
health: {host: 0.0.0.0, port: 9000}
notifications:
  - {name: ops, webhook: "\${HOOK}", events: [held, failed], secret: "\${WHSEC}"}
  - {webhook: "\${HOOK}/other", events: [deprecated], services: [billing]}
deprecationNotice: [90d]
log: {level: debug}
`,
      { URL: 'postgres://db.example.com/accounts', TOKEN: SECRET, HOOK: 'https://hooks.example.com/T0/hunter2', WHSEC },
    );
    expect(config).toEqual({
      taskQueue: 'moves',
      ledger: 'accounts-db',
      databases: {
        'accounts-db': {
          url: 'postgres://db.example.com/accounts',
          directUrl: 'postgres://db.example.com/accounts?direct',
          replicas: ['postgres://db.example.com/accounts?replica'],
          room: 1.5 * 1024 ** 4,
          throttle: { maxRowsPerSecond: 20_000 },
          labels: { users: ['pii'] },
        },
      },
      unleash: { url: 'https://flags.example.com', adminToken: SECRET, clientToken: 'a${b' },
      prometheus: { url: 'http://prometheus:9090' },
      approvers: { dba: ['ana@example.com'] },
      notifications: [
        {
          name: 'ops',
          webhook: 'https://hooks.example.com/T0/hunter2',
          events: ['held', 'failed'],
          secrets: [WHSEC],
          services: null,
        },
        {
          // Its host, and what tells two of one host apart: never the path, which may be the secret.
          name: expect.stringMatching(/^hooks\.example\.com-[0-9a-f]{6}$/),
          webhook: 'https://hooks.example.com/T0/hunter2/other',
          events: ['deprecated'],
          secrets: [],
          services: ['billing'],
        },
      ],
      deprecationNotice: ['90d'],
      health: { host: '0.0.0.0', port: 9000 },
      log: { level: 'debug' },
      temporal: null,
      temporalUi: null,
    });
  });

  it('takes embedded servers from `switchback dev`, and its ledger where none is named', () => {
    const config = load('databases: {billing-db: {embedded: true}}', {}, DEV);
    expect(config.databases['billing-db']?.url).toBe('postgres://dev@127.0.0.1/billing-db');
    expect(config.ledger).toBe('switchback_ledger');
    expect(config.databases['switchback_ledger']?.url).toBe('postgres://dev@127.0.0.1/ledger');
    expect(config.unleash?.adminToken).toBe('dev-admin');
    expect(config.temporal).toEqual({ address: '127.0.0.1:7233' });
  });

  it('takes the servers of `switchback dev` from the environment of its worker', () => {
    const file = join(dir, 'c.yaml');
    writeFileSync(file, 'databases: {billing-db: {embedded: true}}');
    const env = {
      SWITCHBACK_DEV_SERVERS: JSON.stringify(DEV),
      SWITCHBACK_HEALTH_PORT: '7001',
      SWITCHBACK_LOG_LEVEL: 'warn',
    };
    const config = loadConfig({ file, env });
    expect(config.databases['billing-db']?.url).toBe(DEV.databases['billing-db']);
    expect([config.health.port, config.log.level]).toEqual([7001, 'warn']);
  });

  it('says what `switchback dev` has to start', () => {
    const file = join(dir, 'c.yaml');
    writeFileSync(file, 'databases: {a: {embedded: true}, b: {url: "postgres://x/b"}}');
    expect(serversWanted(readConfig({ file, env: {} }))).toEqual({
      databases: ['a', 'switchback_ledger'],
      unleash: true,
    });
    writeFileSync(
      file,
      'ledger: b\ndatabases: {b: {url: "postgres://x/b"}}\nunleash: {url: "http://x", adminToken: t}',
    );
    expect(serversWanted(readConfig({ file, env: {} }))).toEqual({ databases: [], unleash: false });
  });
});

describe('a wrong configuration', () => {
  it.each([
    [
      'an unknown key',
      'taskQeue: x',
      'c.yaml:1:1  taskQeue: unknown key; did you mean "taskQueue"? (allowed: taskQueue, ledger, databases, unleash, prometheus, approvers, notifications, deprecationNotice, health, log)',
    ],
    [
      'an unknown key deeper down',
      'databases:\n  a: {urll: x, embedded: true}',
      'c.yaml:2:7  databases.a.urll: unknown key; did you mean "url"? (allowed: embedded, url, directUrl, replicas, room, throttle, labels)',
    ],
    [
      'a missing variable',
      'databases:\n  a:\n    url: ${NOPE}',
      'c.yaml:3:10  databases.a.url: the environment variable NOPE is not set',
    ],
    [
      'a variable that is none',
      'taskQueue: "a${b-c}"',
      'c.yaml:1:12  taskQueue: a variable is written ${NAME}; write $${ for the characters ${',
    ],
    [
      'an open variable',
      'taskQueue: "a${b"',
      'c.yaml:1:12  taskQueue: a variable is written ${NAME}; write $${ for the characters ${',
    ],
    [
      'neither url nor embedded',
      'databases: {a: {}}',
      'c.yaml:1:16  databases.a: expected either `embedded: true` or a `url`',
    ],
    [
      'both url and embedded',
      'unleash: {embedded: true, url: "http://x"}',
      'c.yaml:1:10  unleash: expected either `embedded: true` or a `url`',
    ],
    [
      'a size without a unit',
      'databases: {a: {embedded: true, room: "200"}}',
      'c.yaml:1:39  databases.a.room: expected a size such as 200GB (kB, MB, GB or TB, of 1024 each)',
    ],
    [
      'a label that there is not',
      'databases: {a: {embedded: true, labels: {users: [secret]}}}',
      'c.yaml:1:50  databases.a.labels.users[0]: expected `pii`, the one label there is',
    ],
    [
      'a table that is none',
      'databases: {a: {embedded: true, labels: {a.b.c: [pii]}}}',
      'c.yaml:1:42  databases.a.labels["a.b.c"]: the name must be a table as `table` or `schema.table`, in double quotes where it has other characters',
    ],
    [
      'a name that is no label',
      'databases: {A_b: {embedded: true}}',
      'c.yaml:1:13  databases.A_b: the name must be a DNS label: 1 to 63 of a-z, 0-9 and -, not starting or ending with -',
    ],
    [
      'a URL that is none',
      'prometheus: {url: nowhere}',
      'c.yaml:1:19  prometheus.url: expected a URL such as https://host/path',
    ],
    [
      'a missing token',
      'unleash: {url: "http://x"}',
      "c.yaml:1:10  unleash.adminToken: expected a token of Unleash's Admin API",
    ],
    ['a value of another type', 'taskQueue: [1]', 'c.yaml:1:12  taskQueue: expected text'],
    ['a port out of range', 'health: {port: 70000}', 'c.yaml:1:16  health.port: expected at most 65535'],
    [
      'a level that is none',
      'log: {level: loud}',
      'c.yaml:1:14  log.level: expected one of trace, debug, info, warn, error, fatal, silent',
    ],
    [
      'a role without people',
      'approvers: {dba: []}',
      'c.yaml:1:18  approvers.dba: expected a list with something in it',
    ],
    ['not YAML', 'databases: {', 'c.yaml:1:13  not YAML (bad indent)'],
    ['a list', '- a', 'c.yaml:1:1  expected a mapping'],
    [
      'no ledger',
      'databases: {a: {url: "postgres://x/a"}}',
      'c.yaml  ledger: is missing; name one of the databases: a',
    ],
    [
      'a ledger that is no database',
      'ledger: acounts\ndatabases: {accounts: {url: "postgres://x/a"}}',
      'c.yaml  ledger: "acounts" is not one of the databases: accounts; did you mean "accounts"?',
    ],
    [
      'embedded without `switchback dev`',
      'ledger: a\ndatabases: {a: {embedded: true}}',
      'c.yaml  databases.a: is embedded, and no `switchback dev` runs that has it',
    ],
  ])('is refused with its place: %s', (_, text, message) => {
    expect(refusal(text)).toBe(`the configuration is wrong:\n  ${message}`);
  });

  it('is refused with all its problems at once', () => {
    expect(refusal('taskQueue: ""\nprometheus: {url: 1}\nlogs: {}').split('\n')).toHaveLength(4);
  });

  it('never shows a value, because it may be a secret', () => {
    const text = `databases: {a: {url: "\${URL}"}}\nunleash: {url: "${SECRET}", adminToken: ["${SECRET}"], ${SECRET}: x}`;
    const message = refusal(text.replace(`, ${SECRET}: x`, ''), { URL: `mysql://root:${SECRET}@x` });
    expect(message).toContain('databases.a.url');
    expect(message).toContain('unleash.adminToken');
    expect(message).not.toContain(SECRET);
    expect(refusal(`unleash: "${SECRET}`)).not.toContain(SECRET);
  });

  it.each([
    ['no webhook', '{events: [held]}', 'notifications[0].webhook: expected text'],
    [
      'an event that there is not',
      '{webhook: "http://x", events: [hold]}',
      'notifications[0].events[0]: expected one of started, approval-needed, held,',
    ],
    [
      'a plain secret',
      '{webhook: "http://x", events: [held], secret: hunter2}',
      'notifications[0].secret: expected a secret of Standard Webhooks, whsec_',
    ],
    [
      'a short secret',
      '{webhook: "http://x", events: [held], secret: whsec_aHVudGVyMg==}',
      'echo whsec_$(openssl rand -base64 32)',
    ],
    [
      'both forms of secrets',
      `{webhook: "http://x", events: [held], secret: ${WHSEC}, secrets: [${WHSEC}]}`,
      'notifications[0]: expected either one `secret` or a list of `secrets`',
    ],
    [
      'a name twice',
      '{webhook: "http://x", events: [held], name: a}, {webhook: "http://y", events: [held], name: a}',
      'notifications[1]: expected a `name` of its own',
    ],
  ])('with a notification that has %s says so, and shows no value', (_what, entries, words) => {
    const said = refusal(`notifications: [${entries}]`, {}, DEV);
    expect(said).toContain(words);
    expect(said).not.toMatch(/hunter2|aHVudGVyMg/);
  });

  it('names a file that is not there', () => {
    expect(() => loadConfig({ file: join(dir, 'none.yaml'), env: {} })).toThrow(/none\.yaml: there is no such file/);
    expect(() => loadConfig({ file: dir, env: {} })).toThrow(/: it is a directory/);
  });
});
