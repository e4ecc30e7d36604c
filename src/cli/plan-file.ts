import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SwitchbackError } from '../messages/index.ts';
import type { PlanCheck } from '../plan/file/index.ts';

export interface PlanFile {
  text: string;
  check: PlanCheck & { ok: true };
}

/**
 * Reads a plan file and checks all that can be checked without a server.
 * @param hint what to do about a wrong plan, where that isn't to check it
 * @throws SwitchbackError UsageInvalid where there is no such file; PlanError with file, line and column otherwise
 */
export async function openPlanFile(path: string, cwd: string, { hint }: { hint?: string } = {}): Promise<PlanFile> {
  const bytes = readBytes(path, cwd);
  // Postgres's parser is only loaded by the commands that read a plan.
  const { checkPlanText, PlanError } = await import('../plan/file/index.ts');
  const check = await checkPlanText(bytes);
  if (!check.ok) throw new PlanError(check.problems, { file: path, ...(hint !== undefined && { hint }) });
  return { text: new TextDecoder().decode(bytes), check };
}

function readBytes(path: string, cwd: string): Uint8Array {
  try {
    return readFileSync(resolve(cwd, path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'it is a directory'
          : `it can't be read (${code})`;
    throw new SwitchbackError('UsageInvalid', `plan "${path}": ${why}`, {
      hint: 'PLAN is the path of a plan file in YAML or JSON',
      fields: { path },
    });
  }
}
