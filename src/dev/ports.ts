import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const HOST = '127.0.0.1';

/**
 * The port, if nothing listens on it on this machine's loopback interface. One connection is made and closed from the
 * listening side: the port is then in TIME_WAIT, and the system gives it to nobody who asks for any free port for
 * a minute, while the server that binds to it by number can (the trick is Temporal's own, sdk-core's get_free_port).
 */
async function claim(port: number): Promise<number | null> {
  const server = createServer();
  try {
    server.listen(port, HOST);
    await once(server, 'listening');
    const { port: taken } = server.address() as { port: number };
    const accepted = once(server, 'connection') as Promise<[import('node:net').Socket]>;
    const client = connect(taken, HOST);
    client.on('error', () => undefined);
    const [socket] = await accepted;
    socket.on('error', () => undefined);
    const closed = once(client, 'close');
    socket.end();
    await closed;
    return taken;
  } catch {
    return null;
  } finally {
    server.close();
  }
}

/** `preferred` where it is free, else one the system picks. */
export async function freePort(preferred = 0): Promise<number> {
  const port = (await claim(preferred)) ?? (await claim(0));
  if (port === null) throw new Error(`no TCP port is free on ${HOST}`);
  return port;
}
