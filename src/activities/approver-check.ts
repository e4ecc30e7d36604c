import type { Deps } from './deps.ts';
import type { LiveView } from './live-look.ts';

/** Whether enough people hold the roles that the plan's approval policies ask for. */
export function lookAtApprovers(deps: Deps, { plan, found }: LiveView): void {
  for (const rule of plan.spec.policies.approvals) {
    const people = new Set(rule.roles.flatMap((role) => deps.approvers[role] ?? []));
    if (people.size < rule.min) {
      found.problems.push(
        `a policy asks for ${rule.min} of ${rule.roles.join(', ')}, and the configuration's \`approvers\` name ${people.size}`,
      );
    }
  }
}
