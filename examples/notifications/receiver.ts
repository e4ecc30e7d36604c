import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';

type Event = { id: string; type: string; data: { name: string; event: string; next: { command: string }[] } };

/** Takes what is signed with `secret`, and handles each event once: it may come again after an answer that got lost. */
export function receiver(secret: string, handle: (event: Event) => Promise<void>) {
  const seen = new Set<string>(); // a table in your database, so that it outlives the process
  async function take(request: IncomingMessage): Promise<number> {
    const body = await text(request); // as it came: the signature is of these bytes
    let event: Event;
    try {
      event = new Webhook(secret).verify(body, request.headers as Record<string, string>) as Event;
    } catch {
      return 401;
    }
    if (seen.has(event.id)) return 204;
    seen.add(event.id);
    await handle(event).catch((error: unknown) => {
      seen.delete(event.id); // it comes again
      throw error;
    });
    return 204;
  }
  return createServer((request, response) => {
    void take(request)
      .catch(() => 500)
      .then((status) => response.writeHead(status).end());
  });
}
