import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { metricsText, statusOf, type SwitchStatus } from './exposition.ts';
import { registered } from './registry.ts';

/** What `/switchback` answers: every switch of the process. */
export interface SwitchesDocument {
  switches: SwitchStatus[];
}

/**
 * Answers `/metrics` (Prometheus) and `/switchback` (JSON) for all switches of the process, in any HTTP server of the service;
 * false where the path is another. No values and no keys are in it.
 */
export function handleSwitches(request: Pick<IncomingMessage, 'url' | 'method'>, response: ServerResponse): boolean {
  const path = (request.url ?? '').split('?', 1)[0];
  if (path === '/metrics')
    answer(request, response, 'text/plain; version=0.0.4; charset=utf-8', metricsText(registered()));
  else if (path === '/switchback') {
    const document: SwitchesDocument = { switches: registered().map(statusOf) };
    answer(request, response, 'application/json', JSON.stringify(document));
  } else return false;
  return true;
}

function answer(
  { method }: Pick<IncomingMessage, 'method'>,
  response: ServerResponse,
  contentType: string,
  body: string,
): void {
  if (method !== 'GET' && method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  response.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' });
  response.end(method === 'HEAD' ? undefined : body);
}

export interface SwitchesServer {
  url: string;
  close(): Promise<void>;
}

/** A server of its own for them; `port` 0 takes any that is free. It keeps no process alive. */
export async function serveSwitches(options: { port: number; host?: string }): Promise<SwitchesServer> {
  const { port, host = '127.0.0.1' } = options;
  const server = createServer((request, response) => {
    if (!handleSwitches(request, response)) response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  server.unref();
  const at = server.address() as AddressInfo;
  return {
    url: `http://${at.family === 'IPv6' ? `[${at.address}]` : at.address}:${at.port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
