import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Browser, chromium } from 'playwright-core';

/**
 * A real, headless Chromium that `npm ci` alone brings: the package @sparticuz/chromium holds the browser, a font and
 * the libraries (NSS, expat) that a bare machine lacks. It is built for Linux on x64; elsewhere, or where
 * `CHROMIUM_PATH` names one, an installed browser is used.
 */
const require = createRequire(import.meta.url);
/** Makes the package unpack its libraries too; it means the machine whose libraries they are. */
const LIBRARIES_OF = { AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' };
const UNPACK_MAX_MS = 120_000;
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'];

export async function launchChromium(): Promise<Browser> {
  const given = process.env['CHROMIUM_PATH'];
  if (given !== undefined && given !== '') return chromium.launch({ executablePath: given, args: ARGUMENTS });
  if (process.platform !== 'linux' || process.arch !== 'x64') return chromium.launch({ channel: 'chrome' });
  const home = await unpacked();
  return chromium.launch({
    executablePath: join(home, 'chromium'),
    args: ARGUMENTS,
    env: {
      ...process.env,
      // Only for the browser: what else this process starts keeps the machine's libraries.
      LD_LIBRARY_PATH: [join(home, 'al2023', 'lib'), process.env['LD_LIBRARY_PATH'] ?? ''].filter(Boolean).join(':'),
      FONTCONFIG_FILE: join(home, 'fonts.conf'),
    },
  });
}

/**
 * The directory with the browser. It is filled beside its place and then renamed, so that neither a process that was
 * killed in the middle nor two at once leave half a browser behind.
 */
async function unpacked(): Promise<string> {
  const packaged = join(dirname(require.resolve('@sparticuz/chromium')), '..');
  const { version } = JSON.parse(await readFile(join(packaged, 'package.json'), 'utf8')) as { version: string };
  const cache = join(packaged, '..', '..', '.cache', 'switchback');
  const home = join(cache, `chromium-${version}`);
  if (await exists(home)) return home;
  await mkdir(cache, { recursive: true });
  const stage = await mkdtemp(join(cache, 'unpacking-'));
  try {
    await unpackInto(stage);
    await writeFile(join(stage, 'fonts.conf'), fontsOf(home));
    await rename(stage, home);
  } catch (error) {
    await rm(stage, { recursive: true, force: true });
    if (!(await exists(home))) throw error;
  }
  return home;
}
const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The package unpacks to the directory for temporary files, and changes the environment: hence a process of its own. */
async function unpackInto(directory: string): Promise<void> {
  const program = "const { default: chromium } = await import('@sparticuz/chromium'); await chromium.executablePath();";
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: dirname(fileURLToPath(import.meta.url)),
    env: { ...process.env, ...LIBRARIES_OF, TMPDIR: directory },
    timeout: UNPACK_MAX_MS,
  });
}

/** The machine's fonts, where it has any, and the package's own, whose file names directories of another machine. */
const fontsOf = (home: string): string => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>${join(home, 'fonts')}</dir>
  <cachedir>${join(home, 'fonts-cache')}</cachedir>
</fontconfig>
`;
