import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { Shop } from '../../scripts/demo/shop.ts';
import { MigrationHandle, Switchback } from '../../src/client/index.ts';
import type { DevFile } from '../../src/dev/dev-file.ts';
import { type Block, blocksOf, commandsOf } from './blocks.ts';
import { PageSession } from './page-session.ts';

const SESSION_MAX_MS = 240_000;
const EXAMPLE = 'examples/split-full-name';

async function execute(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

test('docs/getting-started.md works when followed from top to bottom', { timeout: SESSION_MAX_MS }, async () => {
  const blocks = blocksOf('docs/getting-started.md');
  const only = (matches: (block: Block) => boolean): string => {
    const found = blocks.filter(matches);
    expect(found).toHaveLength(1);
    return found[0]?.text ?? '';
  };
  const lines = blocks.filter(({ mark }) => mark === 'session').flatMap(commandsOf);
  const [dev, check, start] = lines as [string, string, string];
  const undone = lines.filter((line) => line.includes('price-label'));
  const rest = lines.slice(3).filter((line) => !undone.includes(line));
  const session = new PageSession();
  const write = (name: string, text: string): void => writeFileSync(join(session.dir, name), text);

  write(
    'switchback.config.yaml',
    only(({ language, text }) => language === 'yaml' && !text.includes('apiVersion')),
  );
  const { databases } = await session.dev(dev);
  const shop = databases['shop-db'] as string;
  await execute(
    shop,
    only(({ language }) => language === 'sql'),
  );
  for (const name of ['price-cents', 'price-label']) {
    write(
      `${name}.yaml`,
      only(({ language, text }) => language === 'yaml' && text.includes(`{name: ${name},`)),
    );
  }
  expect(await session.type(check).ended).toMatchObject({ code: 0 });

  const watch = session.type(start);
  await watch.until(/awaiting-approval/);
  for (const line of rest) expect(await session.type(line).ended).toMatchObject({ code: 0 });
  expect(await watch.ended).toMatchObject({ code: 0 });
  const { rows } = await execute(shop, 'SELECT count(*) AS filled FROM products WHERE price_cents = price * 100');
  expect(rows).toEqual([{ filled: '10000' }]);

  await execute(shop, 'UPDATE products SET price_cents = 5 WHERE id = 1');
  expect((await execute(shop, 'SELECT price = 0.05 AS same FROM products WHERE id = 1')).rows).toEqual([
    { same: true },
  ]);
  const again = await session.type(start).ended;
  expect(again).toMatchObject({ code: 0 });
  expect(again.output).toMatch(/nothing to do/);

  expect(undone).toHaveLength(2);
  for (const line of undone) expect(await session.type(line).ended).toMatchObject({ code: 0 });
  const end = await session.type('npm run -s switchback -- watch price-label').ended;
  expect(end).toMatchObject({ code: 1, output: expect.stringContaining('changed our mind') });
  const columns = "SELECT count(*) AS left FROM information_schema.columns WHERE column_name = 'price_label'";
  expect((await execute(shop, columns)).rows).toEqual([{ left: '0' }]);
});

/** Approves as soon as it is asked. */
async function approve(handle: MigrationHandle): Promise<void> {
  for await (const status of handle.watch()) {
    if (status.status !== 'awaiting-approval') continue;
    expect(await handle.approve({ by: 'ana@example.com' })).toMatchObject({ accepted: true });
    return;
  }
}

test('the examples of starting a migration start one', { timeout: SESSION_MAX_MS }, async () => {
  const session = new PageSession();
  const dev: DevFile = await session.dev(
    `npm run -s switchback -- dev --config ${resolve(EXAMPLE, 'switchback.config.yaml')}`,
  );
  // The plan's rollout waits for its services, and for traffic on them.
  const shop = await Shop.open(dev, { users: 1_000, breaks: false });
  onTestFinished(() => shop.close());
  shop.traffic.start();
  const env = { TEMPORAL_ADDRESS: dev.temporal.address };
  const example = (name: string) => session.start([resolve('examples/start', name)], env, process.cwd());
  await using switchback = await Switchback.connect({ address: dev.temporal.address, ignoreEnvironment: true });

  const plain = example('with-plain-temporal.ts');
  await plain.until(/status: '/);
  await approve(switchback.handle('split-full-name'));
  expect(await plain.ended).toMatchObject({
    code: 0,
    output: expect.stringContaining("outcome: 'completed'") as string,
  });

  const sdk = await example('with-the-sdk.ts').ended;
  expect(sdk).toMatchObject({ code: 0 });
  expect(sdk.output).toMatch(/nothing to do/i);
  expect(readFileSync(join(EXAMPLE, 'plan.yaml'), 'utf8')).toContain('name: split-full-name');
});
