import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { atEndOfTest } from './servers.ts';

/** A line to a Postgres server that a test can cut and mend: a database that is away, then back. */
export interface Line {
  /** The same database, through the line. */
  url: string;
  /** Ends every connection and refuses new ones. */
  cut(): void;
  /** Lets connections stand and new ones in, and passes nothing on. */
  hold(): void;
  mend(): void;
  /** Only for `beforeAll`: in a test it ends by itself. */
  end(): void;
}

export async function lineTo(to: string): Promise<Line> {
  const target = new URL(to);
  let state: 'open' | 'cut' | 'held' = 'open';
  const pairs = new Set<[Socket, Socket]>();
  const server = createServer((near) => {
    if (state === 'cut') return void near.destroy();
    const far = connect(Number(target.port), target.hostname);
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    for (const [one, other] of [pair, [far, near]] as const) {
      one.on('data', (chunk: Buffer) => other.write(chunk));
      one.on('error', () => other.destroy());
      one.on('close', () => {
        pairs.delete(pair);
        other.destroy();
      });
      if (state === 'held') one.pause();
    }
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the line has no port');
  const url = new URL(to);
  url.hostname = '127.0.0.1';
  url.port = String(address.port);
  const end = () => {
    for (const [near] of [...pairs]) near.destroy();
  };
  const close = () => {
    end();
    server.close();
  };
  atEndOfTest(close);
  return {
    url: url.href,
    end: close,
    cut() {
      state = 'cut';
      end();
    },
    hold() {
      state = 'held';
      for (const pair of pairs) for (const socket of pair) socket.pause();
    },
    mend() {
      state = 'open';
      for (const pair of pairs) for (const socket of pair) socket.resume();
    },
  };
}
