import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { Webhook } from 'standardwebhooks';
import type { NoticeData } from '../../src/activities/notice-data.ts';
import type { CloudEvent } from '../../src/messages/index.ts';

export type Event = CloudEvent<NoticeData>;
export interface Received {
  event: Event;
  headers: IncomingHttpHeaders;
  body: string;
}
type Answer = (response: ServerResponse, received: Received) => void;

/** Two secrets, of which the first is the newer one. */
export const SECRETS = [
  'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=',
  'whsec_bmV2ZXItdXNlZC1hbnl3aGVyZS1idXQtaW4tdGVzdHM=',
] as const;

/** A receiver of webhooks on this machine that notes all that comes, and answers as the test wants. */
export interface Receiver {
  url: string;
  received: Received[];
  /** The events that came, each attempt once, as `event` of `name`. */
  answer: Answer;
  /** The first event that satisfies `wanted`, now or later. */
  event(wanted: (event: Event) => boolean): Promise<Event>;
  down(): Promise<void>;
  up(): Promise<void>;
}

export const ok: Answer = (response) => void response.writeHead(204).end();
export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end();

export async function startReceiver(path = '/hook'): Promise<Receiver> {
  const waiting = new Set<() => void>();
  const receiver = { answer: ok, received: [] as Received[] };
  const server = createServer((request, response) => {
    void textOf(request).then((body) => {
      const one = { event: JSON.parse(body) as Event, headers: request.headers, body };
      receiver.received.push(one);
      receiver.answer(response, one);
      for (const look of waiting) look();
    });
  });
  const up = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const down = async (): Promise<void> => {
    server.closeAllConnections();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  };
  const port = await up(0);
  onTestFinished(down);
  return Object.assign(receiver, {
    url: `http://127.0.0.1:${port}${path}`,
    event: (wanted: (event: Event) => boolean) =>
      new Promise<Event>((found) => {
        const look = (): void => {
          const one = receiver.received.find(({ event }) => wanted(event));
          if (one === undefined) return;
          waiting.delete(look);
          found(one.event);
        };
        waiting.add(look);
        look();
      }),
    down,
    up: async () => void (await up(port)),
  });
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

/** Verifies a signature as receivers do, with the library of Standard Webhooks; throws where it is wrong. */
export const verify = ({ body, headers }: Received, secret: string): unknown =>
  new Webhook(secret).verify(body, headers as Record<string, string>);
