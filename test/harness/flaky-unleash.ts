import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What happens to a request on its way to the real server: the connection is cut before it gets there, or after it was
 * done and before its answer; nobody ever answers; or a proxy answers in the server's stead.
 */
export type Fault =
  | 'before'
  | 'after'
  | 'silent'
  | { status: number; body?: string; headers?: Record<string, string> }
  | null;
export interface FlakyRequest {
  method: string;
  path: string;
  /** Which of all requests it is, from 1. */
  count: number;
  /** Which of the requests that change something; null for one that reads. */
  write: number | null;
}
export interface FlakyUnleash {
  url: string;
  /** What has come so far, as `GET /api/…`. */
  requests: string[];
  close(): void;
}

/** Passes requests on to the Unleash at `target`, save those that get a fault. Only what a real server can't be made to do. */
export async function flakyUnleash(
  target: string,
  faultOf: (request: FlakyRequest) => Fault | Promise<Fault>,
): Promise<FlakyUnleash> {
  const requests: string[] = [];
  let writes = 0;
  const passOn = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = 'GET', url: path = '/' } = request;
    requests.push(`${method} ${path}`);
    const write = method === 'GET' ? null : ++writes;
    const fault = await faultOf({ method, path, count: requests.length, write });
    if (fault === 'silent') return;
    if (fault === 'before') {
      request.socket.destroy();
      return;
    }
    if (fault !== null && fault !== 'after') {
      response.writeHead(fault.status, { 'content-type': 'text/plain', ...fault.headers });
      response.end(fault.body ?? '');
      return;
    }
    const answer = await fetch(`${target}${path}`, {
      method,
      headers: { authorization: request.headers.authorization ?? '', 'content-type': 'application/json' },
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    const body = await answer.text();
    if (fault === 'after') {
      request.socket.destroy();
      return;
    }
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(body);
  };
  const server = createServer((request, response) => {
    passOn(request, response).catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
