import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import pg from 'pg';
import { onTestFinished } from 'vitest';

/**
 * A pooler in transaction mode before a real Postgres, as PgBouncer is with `pool_mode = transaction` and nothing said
 * about prepared statements: a client has a server connection from its first message until the server is ready and in
 * no transaction. The next transaction gets another connection, the one that has rested longest; nothing is reset in
 * between, so that what a session has been set to leaks to whoever comes next.
 */
export interface TransactionPooler {
  url: string;
  /** Server connections by pid, in the order of the first transaction on each. */
  readonly pids: readonly number[];
  /** Transactions that came through, and how often two of one client in a row were on different connections. */
  readonly transactions: number;
  readonly changes: number;
}

interface Server {
  socket: Socket;
  pid: number;
  /** Queries and Syncs that have no ReadyForQuery yet. */
  awaited: number;
  client: Client | null;
}
interface Client {
  socket: Socket;
  server: Server | null;
  lastServer: Server | null;
  begun: boolean;
  waiting: Buffer[];
}

/** What PgBouncer knows of a startup message, and sets on the server for its client; the rest it refuses. */
const KNOWN_PARAMETERS = [
  'user',
  'database',
  'client_encoding',
  'application_name',
  'DateStyle',
  'TimeZone',
  'replication',
];
const SSL_REQUEST = 80877103;
const CANCEL_REQUEST = 80877102;
const MESSAGES_THAT_END_WITH_READY = 'QSF';

/**
 * @param to the database, with the credentials of its connections; clients come in without any
 * @param options.ignores startup parameters that are taken from clients and forgotten (ignore_startup_parameters)
 */
export async function transactionPooler(
  to: string,
  options: { connections: number; ignores: readonly string[] },
): Promise<TransactionPooler> {
  const servers = await Promise.all(Array.from({ length: options.connections }, () => connectServer(to)));
  const free = [...servers];
  const queue: Client[] = [];
  const pids: number[] = [];
  let [transactions, changes] = [0, 0];

  const link = (client: Client): void => {
    const server = free.shift();
    if (server === undefined) return void queue.push(client);
    transactions += 1;
    if (!pids.includes(server.pid)) pids.push(server.pid);
    if (client.lastServer !== null && client.lastServer !== server) changes += 1;
    [client.server, client.lastServer, server.client] = [server, server, client];
    for (const message of client.waiting.splice(0)) send(server, message);
  };
  const send = (server: Server, message: Buffer): void => {
    if (MESSAGES_THAT_END_WITH_READY.includes(String.fromCharCode(message[0] ?? 0))) server.awaited += 1;
    server.socket.write(message);
  };
  const giveBack = (server: Server): void => {
    if (server.client !== null) server.client.server = null;
    const client = server.client;
    server.client = null;
    free.push(server);
    const next = queue.shift();
    if (next !== undefined) link(next);
    // What the client has sent since goes to whoever is next.
    if (client !== null && client.waiting.length > 0) link(client);
  };
  const fromClient = (client: Client, message: Buffer): void => {
    if (message[0] === 'X'.charCodeAt(0)) return void client.socket.end();
    if (client.server !== null) return send(client.server, message);
    client.waiting.push(message);
    if (client.waiting.length === 1 && !queue.includes(client)) link(client);
  };
  const replace = async (server: Server): Promise<void> => {
    const at = servers.indexOf(server);
    server.socket.destroy();
    const next = await connectServer(to);
    listen(next);
    servers[at] = next;
    giveBack(next);
  };
  const listen = (server: Server): void => {
    server.socket.on(
      'data',
      messages(false, (message) => {
        server.client?.socket.write(message);
        if (message[0] !== 'Z'.charCodeAt(0)) return;
        server.awaited -= 1;
        if (server.awaited === 0 && message[5] === 'I'.charCodeAt(0)) giveBack(server);
      }),
    );
    server.socket.on('close', () => server.client?.socket.destroy());
  };
  for (const server of servers) listen(server);

  const listener = createServer({ noDelay: true }, (socket) => {
    const client: Client = { socket, server: null, lastServer: null, begun: false, waiting: [] };
    socket.on('error', () => undefined);
    socket.on(
      'data',
      messages(
        true,
        (message) => {
          if (client.begun) return fromClient(client, message);
          const code = message.readInt32BE(4);
          if (code === SSL_REQUEST) return void socket.write('N');
          if (code === CANCEL_REQUEST) return void socket.end();
          client.begun = true;
          return greet(socket, message, options.ignores);
        },
        () => client.begun,
      ),
    );
    socket.on('close', () => {
      if (queue.includes(client)) queue.splice(queue.indexOf(client), 1);
      // A client that goes in the middle of a transaction takes its connection along.
      if (client.server !== null) {
        const { server } = client;
        server.client = null;
        void replace(server).catch(() => undefined);
      }
    });
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  onTestFinished(() => {
    listener.close();
    for (const server of servers) server.socket.destroy();
  });
  const url = new URL(to);
  url.host = `127.0.0.1:${(listener.address() as { port: number }).port}`;
  return {
    url: url.href,
    pids,
    get transactions() {
      return transactions;
    },
    get changes() {
      return changes;
    },
  };
}

/** `pg` logs in; from then on the socket is ours. */
async function connectServer(url: string): Promise<Server> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  stream.removeAllListeners('data');
  return { socket: stream, pid: rows[0]?.pid ?? 0, awaited: 0, client: null };
}

/** Lets a client in, or refuses what it asks for at the start. */
function greet(socket: Socket, startup: Buffer, ignores: readonly string[]): void {
  const words = startup.toString('utf8', 8).split('\0');
  const names = words.filter((word, index) => index % 2 === 0 && word !== '');
  const unknown = names.find((name) => !KNOWN_PARAMETERS.includes(name) && !ignores.includes(name));
  if (unknown !== undefined) {
    const text = `SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: ${unknown}\0\0`;
    return void socket.end(answer('E', Buffer.from(text)));
  }
  const status = { server_version: '18.0', client_encoding: 'UTF8', standard_conforming_strings: 'on' };
  socket.write(
    Buffer.concat([
      answer('R', Buffer.from([0, 0, 0, 0])),
      ...Object.entries(status).map(([name, value]) => answer('S', Buffer.from(`${name}\0${value}\0`))),
      answer('K', Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])),
      answer('Z', Buffer.from('I')),
    ]),
  );
}

function answer(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5, type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Cuts a stream of the protocol (version 3) into messages; those before `begun` have no type. */
function messages(
  untyped: boolean,
  on: (message: Buffer) => void,
  begun: () => boolean = () => true,
): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const head = untyped && !begun() ? 0 : 1;
      if (rest.length < head + 4) return;
      const length = head + rest.readInt32BE(head);
      if (rest.length < length) return;
      const message = rest.subarray(0, length);
      rest = rest.subarray(length);
      on(message);
    }
  };
}
