import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SwitchbackError } from '../messages/index.ts';
import { buildWithGo, cachedBinary, firstLine, runKept, type Say } from './cached-binary.ts';
import { cleanEnvironment } from './environment.ts';

export type { Say } from './cached-binary.ts';

/** The newest CLI that `go install` can build (later ones have a `replace` in go.mod): server 1.29.1, UI 2.42.1. */
const VERSION = '1.5.1';
const MODULE = `github.com/temporalio/cli/cmd/temporal@v${VERSION}`;
const VERSION_MAX_MS = 10_000;
const DOWNLOAD_HOST = 'https://temporal.download';
const DOWNLOAD_PROBE_MS = 3_000;
const DOWNLOAD_MAX_MS = 120_000;
const run = promisify(execFile);

/**
 * The Temporal CLI with its server, from the first of: PATH, our cache, the SDK's download, a build with Go.
 *
 * @throws SwitchbackError ConfigInvalid that says what to install, where none of them works
 */
export async function findTemporal(say: Say): Promise<string> {
  const build = buildWithGo({
    what: 'the Temporal CLI',
    about: 'about 3 minutes',
    output: 'temporal',
    command: () => ['go', 'install', MODULE],
  });
  const found = await cachedBinary(
    { what: 'the Temporal CLI', command: 'temporal', file: `temporal-${VERSION}`, works, ways: [download, build] },
    say,
  );
  if ('found' in found) return found.found;
  throw new SwitchbackError('ConfigInvalid', `no Temporal server was found: ${found.why.join('; ')}`, {
    hint:
      'install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH, or Go 1.24 or later, ' +
      'or set TEMPORAL_ADDRESS to a server that runs',
  });
}

async function works(command: string): Promise<boolean> {
  try {
    const { stdout } = await run(command, ['--version'], { timeout: VERSION_MAX_MS });
    return stdout.includes('temporal');
  } catch {
    return false;
  }
}

/** Lets the SDK (package `@temporalio/testing`) download the CLI. Returns null, or why it could not. */
async function download(cached: string, say: Say): Promise<string | null> {
  let testing: string;
  try {
    testing = createRequire(import.meta.url).resolve('@temporalio/testing');
  } catch {
    return 'the package @temporalio/testing, which could download it, is not installed';
  }
  try {
    const probe = await fetch(DOWNLOAD_HOST, { method: 'HEAD', signal: AbortSignal.timeout(DOWNLOAD_PROBE_MS) });
    // A proxy that refuses the host also answers; the server itself redirects or answers with a page.
    if (probe.status === 403 || probe.status === 407 || probe.status >= 500) throw new Error(String(probe.status));
  } catch {
    return `${DOWNLOAD_HOST}, from which the SDK downloads it, can't be reached`;
  }
  say('downloading the Temporal CLI once…');
  const dir = await mkdtemp(`${cached}.download-`);
  try {
    // In a process of its own: the SDK's runtime can't be configured any more once it was used, and this can be ended.
    const script =
      'const [testing, version, downloadDir] = process.argv.slice(1);' +
      "const server = { executable: { type: 'cached-download', version, downloadDir } };" +
      'require(testing).TestWorkflowEnvironment.createLocal({ server }).then((env) => env.teardown());';
    await runKept(process.execPath, ['-e', script, testing, `v${VERSION}`, dir], {
      timeout: DOWNLOAD_MAX_MS,
      env: cleanEnvironment(),
    });
    const [file] = await readdir(dir);
    if (file === undefined) return 'the SDK downloaded nothing';
    await chmod(join(dir, file), 0o755);
    await rename(join(dir, file), cached);
    return null;
  } catch (error) {
    return `the SDK's download failed (${firstLine(error)})`;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
