import { createServer, type Server } from 'node:http';
import { SwitchbackError } from '../messages/index.ts';

/** `GET /health`: 200 while the worker polls, 503 otherwise; the body says its state. */
export async function serveHealth(at: { host: string; port: number }, state: () => string): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== '/health') {
      response.writeHead(404).end();
      return;
    }
    const now = state();
    response.writeHead(now === 'RUNNING' ? 200 : 503, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ state: now, pid: process.pid }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new SwitchbackError('ConfigInvalid', `health.port ${at.port} can't be used (${error.code})`, {
          hint: 'choose another port under `health:`, or 0 for any free one',
          cause: error,
        }),
      ),
    );
    server.listen(at.port, at.host, resolve);
  });
  server.unref();
  return server;
}
