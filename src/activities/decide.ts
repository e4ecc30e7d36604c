/** Questions that the workflow may not answer itself because the answer depends on the configuration of today. */
export interface JudgeInput {
  by: string;
  requestedBy: string;
  /** The person must hold one of these; empty: anyone may. */
  roles: string[];
  notRequester: boolean;
}
export interface Judgement {
  allowed: boolean;
  reason: string;
}

/** May this person decide? Identity is as claimed by the sender. */
export function judge(approvers: Readonly<Record<string, readonly string[]>>, input: JudgeInput): Judgement {
  if (input.notRequester && input.by === input.requestedBy) {
    return { allowed: false, reason: `${input.by} requested this migration and the policy says notRequester` };
  }
  if (input.roles.length === 0) return { allowed: true, reason: 'no role is asked for' };
  const held = input.roles.filter((role) => approvers[role]?.includes(input.by));
  if (held.length > 0) return { allowed: true, reason: `${input.by} holds ${held.join(', ')}` };
  return { allowed: false, reason: `${input.by} holds none of the roles asked for: ${input.roles.join(', ')}` };
}
