/**
 * What kind of token an Unleash token is by its looks, for messages that must not show it. Unleash's own shapes: an
 * API token is `project:environment.secret`, an admin token one for all of both (`*:*.secret`); the token of a person
 * or a service account is `user:secret`. Tokens of clients and of browsers look alike: only the server knows.
 */
export function kindOfToken(token: string): string {
  if (token === '') return 'an empty token';
  if (token.startsWith('user:')) return 'a personal access or service account token';
  if (token.startsWith('*:*.')) return 'an admin token';
  if (/^[^:\s]+:[^.\s]+\.\S+$/.test(token)) return 'a token of one environment, for clients (backend or frontend)';
  return 'nothing that looks like a token of Unleash (`*:*.…` or `user:…`)';
}

export const TOKEN_NEEDED =
  'unleash.adminToken must be an admin token (`*:*.…`), or a personal access or service account token (`user:…`) ' +
  'of somebody who may create, change and delete flags';
