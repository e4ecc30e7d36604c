import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/**
 * A line between a worker and a real Postgres that breaks at a chosen statement, for real:
 *
 * - `lost`: the worker dies when the server has executed it, before the answer arrives. What the server has then is
 *   what it has when the worker dies before it sends the next one.
 * - `running`: the worker dies while the server executes it; the server may go on.
 * - `ended`: the session alone is ended (as an administrator or a failover does) when the statement is executed; the
 *   worker lives, and doesn't know whether it was.
 */
export type CrashKind = 'lost' | 'running' | 'ended';

export interface SentStatement {
  text: string;
  /** Whether its connection was in a transaction when it was sent. */
  inTransaction: boolean;
}

export interface CrashLine {
  url: string;
  /** Mends the line, and breaks it at the `at`-th statement from now. */
  arm(at: number, kind: CrashKind): void;
  /** The same at the first statement of this kind. */
  armAt(which: (text: string) => boolean, kind: CrashKind): void;
  /** Mends the line; it stays whole. */
  disarm(): void;
  /** The statement at which it broke; null: it hasn't. */
  readonly brokenAt: string | null;
  /** Whatever has been sent since it was last armed or mended, in order. */
  readonly statements: readonly SentStatement[];
  close(): void;
}

/** What a worker looks at beside its work comes at any time: a count with it would mean something else each time. */
const BESIDE = /pg_blocking_pids|pg_stat_progress|pg_cancel_backend|pg_backend_pid\(\)::text/;

interface Pair {
  near: Socket;
  far: Socket;
  pid: number | null;
  /** Whether an answer is waited for that goes no further. */
  awaiting: boolean;
  inTransaction: boolean;
}

/** `end` ends a session of the server by its pid. */
export async function crashLine(to: string, end: (pid: number) => Promise<unknown>): Promise<CrashLine> {
  const target = new URL(to);
  const pairs = new Set<Pair>();
  let armed: { breaksAt(text: string): boolean; kind: CrashKind } | null = null;
  let brokenAt: string | null = null;
  let statements: SentStatement[] = [];
  let dead = false;

  const die = (): void => {
    dead = true;
    for (const { near, far } of pairs) for (const socket of [near, far]) socket.destroy();
  };
  /** Whether the statement goes on to the server by itself. */
  const statement = (pair: Pair, bytes: Buffer, text: string): void => {
    const counts = brokenAt === null && !BESIDE.test(text);
    if (counts) statements.push({ text, inTransaction: pair.inTransaction });
    if (armed === null || !counts || !armed.breaksAt(text)) {
      pair.far.write(bytes);
      return;
    }
    brokenAt = text;
    pair.awaiting = armed.kind !== 'running';
    pair.far.write(bytes, () => {
      if (armed?.kind === 'running') die();
    });
  };
  /** The server has answered a statement: the answer goes no further. */
  const answered = (pair: Pair): void => {
    pair.awaiting = false;
    if (armed?.kind === 'lost') return die();
    void end(pair.pid ?? 0).finally(() => {
      pair.near.destroy();
      pair.far.destroy();
    });
  };

  const server = createServer((near) => {
    if (dead) return void near.destroy();
    const far = connect(Number(target.port), target.hostname);
    const pair: Pair = { near, far, pid: null, awaiting: false, inTransaction: false };
    pairs.add(pair);
    near.on(
      'data',
      clientMessages(
        (bytes, text) => statement(pair, bytes, text),
        (bytes) => far.write(bytes),
      ),
    );
    const look = serverMessages({
      pid: (pid) => {
        pair.pid = pid;
      },
      ready: (inTransaction) => {
        pair.inTransaction = inTransaction;
        if (pair.awaiting) answered(pair);
      },
    });
    far.on('data', (chunk: Buffer) => {
      const swallow = pair.awaiting;
      look(chunk);
      if (!swallow) near.write(chunk);
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => {
        pairs.delete(pair);
        other.destroy();
      });
    }
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(to);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as { port: number }).port);
  const mend = (next: typeof armed): void => {
    dead = false;
    brokenAt = null;
    statements = [];
    armed = next;
  };
  return {
    url: url.href,
    arm: (at, kind) => mend({ kind, breaksAt: () => statements.length === at }),
    armAt: (which, kind) => mend({ kind, breaksAt: which }),
    disarm: () => mend(null),
    get brokenAt() {
      return brokenAt;
    },
    get statements() {
      return statements;
    },
    close() {
      die();
      server.close();
    },
  };
}

/**
 * Takes apart what a client of the protocol (version 3) sends. A statement is a simple query, or everything up to and
 * with the Sync of an extended one.
 */
function clientMessages(
  onStatement: (bytes: Buffer, text: string) => void,
  onOther: (bytes: Buffer) => void,
): (chunk: Buffer) => void {
  let begun = false;
  let rest = Buffer.alloc(0);
  let extended: Buffer[] = [];
  let text = '';
  const cut = (length: number): Buffer => {
    const bytes = rest.subarray(0, length);
    rest = rest.subarray(length);
    return bytes;
  };
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const head = begun ? 1 : 0;
      if (rest.length < head + 4 || rest.length < head + rest.readInt32BE(head)) return;
      const type = begun ? String.fromCharCode(rest[0] ?? 0) : '';
      const bytes = cut(head + rest.readInt32BE(head));
      begun = true;
      if (type === 'Q') onStatement(bytes, bytes.toString('utf8', 5, bytes.length - 1));
      else if ('PBDEHC'.includes(type) && type !== '') {
        if (type === 'P') text = bytes.toString('utf8', 5).split('\0')[1] ?? '';
        extended.push(bytes);
      } else if (type === 'S') {
        onStatement(Buffer.concat([...extended, bytes]), text);
        extended = [];
      } else onOther(bytes);
    }
  };
}

/** Finds the session's pid and the end of each answer in what a server sends. */
function serverMessages(on: {
  pid: (pid: number) => void;
  ready: (inTransaction: boolean) => void;
}): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 5 && rest.length >= 1 + rest.readInt32BE(1)) {
      const type = String.fromCharCode(rest[0] ?? 0);
      if (type === 'K') on.pid(rest.readInt32BE(5));
      const state = String.fromCharCode(rest[5] ?? 0);
      rest = rest.subarray(1 + rest.readInt32BE(1));
      if (type === 'Z') on.ready(state !== 'I');
    }
  };
}
