import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';

/**
 * The workflow code as one script. The package brings it ready made; a checkout bundles it once per state of the
 * source and keeps it, so that a worker starts in a second.
 */
const here = dirname(fileURLToPath(import.meta.url));
const PREBUILT = join(here, '..', 'workflow-bundle.js');
const SOURCE = join(here, '..', 'workflows');

export async function workflowBundle(log: Logger): Promise<{ codePath: string } | WorkflowBundle> {
  if (existsSync(PREBUILT)) return { codePath: PREBUILT };
  const codePath = join(cacheFolder(), `workflows-${fingerprint()}.js`);
  if (existsSync(codePath)) return { codePath };
  log.info('bundling the workflow code');
  const bundle = await bundleWorkflows();
  mkdirSync(dirname(codePath), { recursive: true });
  // Written aside and renamed, because several workers may do this at once.
  const aside = `${codePath}.${process.pid}`;
  writeFileSync(aside, bundle.code);
  renameSync(aside, codePath);
  return { codePath };
}

/** Bundles the workflows with their interceptors; the build of the package and the replay tests use it too. */
export const bundleWorkflows = (): Promise<WorkflowBundle> =>
  bundleWorkflowCode({
    workflowsPath: join(SOURCE, 'index.ts'),
    workflowInterceptorModules: [join(SOURCE, 'interceptors.ts')],
    logger: {
      log: () => undefined,
      trace: () => undefined,
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: console.error,
    },
  });

const cacheFolder = (): string => {
  const nodeModules = join(here, '..', '..', 'node_modules');
  return existsSync(nodeModules) ? join(nodeModules, '.cache', 'switchback') : join(tmpdir(), 'switchback-workflows');
};

function fingerprint(): string {
  const hash = createHash('sha256');
  for (const folder of [SOURCE, join(here, '..', 'messages')]) {
    for (const name of (readdirSync(folder, { recursive: true }) as string[]).toSorted()) {
      if (name.endsWith('.ts')) hash.update(name).update(readFileSync(join(folder, name)));
    }
  }
  return hash
    .update(readFileSync(join(here, '..', '..', 'package.json')))
    .digest('hex')
    .slice(0, 16);
}
