import { Client, Connection, type ConnectionOptions, type DataConverter, type TLSConfig } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { SwitchbackError } from '../messages/index.ts';
import { grpcStatusOf, type ServerPlace, serviceError, unreachable } from './service-error.ts';

/**
 * How to reach Temporal. What is left out comes from Temporal's own environment configuration: the `TEMPORAL_*`
 * variables, then the profile file (`TEMPORAL_CONFIG_FILE`), then `localhost:7233` and namespace `default`.
 */
export interface ConnectOptions {
  /** `host:port`. */
  address?: string | undefined;
  namespace?: string | undefined;
  /** Sent as a bearer token; turns TLS on unless `tls` says otherwise. */
  apiKey?: string | undefined;
  tls?: TLSConfig | boolean | undefined;
  /** The profile in Temporal's configuration file; `default` where it is left out. */
  profile?: string | undefined;
  /** Who this client is, as Temporal's history shows it. */
  identity?: string | undefined;
  /** Takes nothing from the environment or a profile file: only what is given here, and the defaults. */
  ignoreEnvironment?: boolean | undefined;
  /** For payloads that are encrypted on their way into the history. */
  dataConverter?: DataConverter | undefined;
}

const CONNECT_TIMEOUT_MS = 5_000;
const DEFAULT_ADDRESS = 'localhost:7233';

export interface Connected {
  client: Client;
  place: ServerPlace;
  close(): Promise<void>;
}

/**
 * Connects, or says within five seconds why it can't.
 * @throws SwitchbackError TemporalUnreachable (no answer, or credentials refused), ConfigInvalid (profile, namespace)
 */
export async function connectClient(options: ConnectOptions = {}): Promise<Connected> {
  const { connectionOptions, namespace } = readEnvironment(options);
  const place = { address: connectionOptions.address ?? DEFAULT_ADDRESS, namespace };
  const connection = await open(connectionOptions, place);
  const client = new Client({
    connection,
    namespace,
    ...(options.identity !== undefined && { identity: options.identity }),
    ...(options.dataConverter !== undefined && { dataConverter: options.dataConverter }),
  });
  return { client, place, close: () => connection.close() };
}

function readEnvironment(options: ConnectOptions): { connectionOptions: ConnectionOptions; namespace: string } {
  let read: ReturnType<typeof loadClientConnectConfig>;
  try {
    // The library refuses to leave both sources aside, so it isn't asked then.
    read =
      options.ignoreEnvironment === true
        ? { connectionOptions: {} }
        : loadClientConnectConfig(options.profile === undefined ? {} : { profile: options.profile });
  } catch (error) {
    throw new SwitchbackError('ConfigInvalid', `Temporal's configuration can't be read: ${(error as Error).message}`, {
      hint: 'see the TEMPORAL_* variables and the file that TEMPORAL_CONFIG_FILE names',
      cause: error,
    });
  }
  const { address, apiKey, tls } = options;
  return {
    // The profile's options are those of the native connection, which names the same things alike.
    connectionOptions: {
      ...(read.connectionOptions as ConnectionOptions),
      ...(address !== undefined && { address }),
      ...(apiKey !== undefined && { apiKey, tls: true }),
      ...(tls !== undefined && { tls }),
      connectTimeout: CONNECT_TIMEOUT_MS,
    },
    namespace: options.namespace ?? read.namespace ?? 'default',
  };
}

async function open(options: ConnectionOptions, place: ServerPlace): Promise<Connection> {
  let connection: Connection;
  try {
    connection = Connection.lazy(options);
  } catch (error) {
    throw new SwitchbackError(
      'ConfigInvalid',
      `"${place.address}" can't be used as Temporal's address: ${(error as Error).message}`,
      {
        hint: 'an address is host:port, such as localhost:7233',
        cause: error,
      },
    );
  }
  try {
    await connection.ensureConnected();
    return connection;
  } catch (error) {
    await connection.close().catch(() => undefined);
    throw grpcStatusOf(error) === null ? unreachable(place, error) : serviceError(error, place);
  }
}
