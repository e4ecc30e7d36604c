/** Builds what the package holds: dist/ with JavaScript, types and the workflow code as one ready-made script. */
import { execFileSync } from 'node:child_process';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleWorkflows } from '../src/worker/workflow-bundle.ts';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');

await rm(DIST, { recursive: true, force: true });
const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
execFileSync(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.build.json')], { stdio: 'inherit' });
await chmod(join(DIST, 'cli', 'main.js'), 0o755);
const { code } = await bundleWorkflows();
// The worker looks for it here; see src/worker/workflow-bundle.ts.
await writeFile(join(DIST, 'workflow-bundle.js'), code);
