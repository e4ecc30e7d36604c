import type { Audit, AuditQuestion } from '../messages/index.ts';
import type { Deps } from './deps.ts';
import { readAudit } from './read-audit.ts';
import { asFailure } from './run-effect.ts';

export function createAudit({ databases, home }: Deps) {
  return {
    /** Who changed what, for people and services. A key goes into Temporal's history with the question. */
    async readAudit(question: AuditQuestion): Promise<Audit> {
      try {
        const all = databases.names.map((name) => databases.get(name));
        return await readAudit(all, home.database, question, { plainKeys: false });
      } catch (error) {
        throw asFailure(error);
      }
    },
  };
}
