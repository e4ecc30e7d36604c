import { SwitchbackError } from '../../messages/index.ts';
import { conditionName } from './condition-names.ts';
import { valuesAreHidden } from './hidden-values.ts';

/** What `pg` puts on an error of the server or of the connection. */
interface PgError {
  code?: string;
  message?: string;
  detail?: string;
  hint?: string;
  position?: string;
  where?: string;
  table?: string;
  column?: string;
  constraint?: string;
  address?: string;
  port?: number;
}

/** An error of Postgres with its SQLSTATE, so that callers can tell a deadlock from a missing table. */
export class PostgresError extends SwitchbackError {
  readonly sqlState: string;
  readonly position: number | null;
  readonly #said: string;
  /** Something was dropped by another session while the catalog was read: another look finds it gone. */
  readonly vanished: boolean;
  /** Two sessions changed the same row of the catalog at once: GRANT and COMMENT take no lock that would queue them. */
  readonly concurrent: boolean;
  constructor(database: string, error: PgError & { code: string }) {
    const vanished = error.code === 'XX000' && /cache lookup failed|could not open relation/.test(error.message ?? '');
    const concurrent = error.code === 'XX000' && /tuple concurrently (updated|deleted)/.test(error.message ?? '');
    const hidden = valuesAreHidden() && mayQuote(error);
    const retry = vanished || concurrent || /^(25P03|25P04|40|53|55P03|57014|57P0|58)/.test(error.code);
    // `detail` and `where` can hold a row's values: they stay out of the message.
    super('StatementFailed', `${database}: ${hidden ? withoutQuotes(error) : said(error)}`, {
      retry,
      ...(error.hint !== undefined && !hidden && { hint: error.hint }),
      fields: { database, sqlState: error.code, constraint: hidden ? constraintOf(error) : (error.constraint ?? null) },
      // Its own message goes with a cause into logs and histories.
      ...(!hidden && { cause: error }),
    });
    this.#said = `${database}: ${said(error)}`;
    this.sqlState = error.code;
    this.vanished = vanished;
    this.concurrent = concurrent;
    this.position = error.position === undefined ? null : Number(error.position);
  }

  /** Postgres's own words, also where the message hides them: only for the database that they came from. */
  inItsOwnWords(): string {
    return this.#said;
  }
}

const said = ({ message, code }: PgError & { code: string }): string =>
  `${message ?? 'unknown error'} (SQLSTATE ${code})`;

/** What is about a statement or its surroundings, rather than about rows. */
const ABOUT_STATEMENTS = /^(0A|25|26|28|3F|40|42|53|55|57|2BP01)/;
/** Whether a message may hold a row's values: functions, such as triggers, say whatever they like. */
const mayQuote = ({ code, where }: PgError & { code: string }): boolean =>
  where !== undefined || !ABOUT_STATEMENTS.test(code);

/** A constraint that Postgres itself names; one that a function names may be anything. */
const constraintOf = ({ constraint, where }: PgError): string | null =>
  where === undefined ? (constraint ?? null) : null;
const withoutQuotes = (error: PgError & { code: string }): string => {
  const constraint = constraintOf(error);
  const of = constraint === null ? '' : ` of constraint "${constraint}"`;
  return `${conditionName(error.code)}${of} (SQLSTATE ${error.code}; Postgres's message may hold personal data)`;
};

const UNREACHABLE =
  /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|57P01|57P02|57P03|08...)$/;
const WRONG_CREDENTIALS = /^(28P01|28000)$/;

/** `too_many_connections`: of the server, or of the role or database by its CONNECTION LIMIT. */
const NO_CONNECTION_LEFT = '53300';

/** `cannot execute … in a read-only transaction`: our sessions ask for none, so the server is in recovery. */
const NO_WRITES = '25006';

/** A database that answers and takes no writes. While a failover is under way, trying again helps. */
export const noWrites = (
  database: string,
  { retry = true, sqlState = NO_WRITES }: { retry?: boolean; sqlState?: string } = {},
): SwitchbackError =>
  new SwitchbackError('DatabaseUnreachable', `database "${database}" is in recovery: it takes no writes`, {
    retry,
    hint: `point databases.${database}.url to the primary; a standby that is being promoted takes writes soon`,
    fields: { database, sqlState },
  });

/**
 * Turns whatever `pg` throws into an error with a code. Never repeats a URL: it can hold a password.
 *
 * @param readOnly whether the session had asked for a transaction that can't write
 */
export function databaseError(
  thrown: unknown,
  database: string,
  { readOnly: asked = false }: { readOnly?: boolean } = {},
): SwitchbackError {
  if (thrown instanceof SwitchbackError) return thrown;
  const error = (thrown ?? {}) as PgError & { errors?: PgError[] };
  const first = error.errors?.[0] ?? error;
  const code = first.code ?? '';
  const address = first.address === undefined ? '' : ` at ${first.address}:${first.port ?? ''}`;
  if (WRONG_CREDENTIALS.test(code)) {
    return new SwitchbackError('DatabaseUnreachable', `database "${database}" refuses the credentials`, {
      hint: `check user and password in the URL of databases.${database}`,
      fields: { database, sqlState: code },
    });
  }
  if (/unsupported startup parameter/i.test(first.message ?? '')) {
    return new SwitchbackError('DatabaseUnreachable', `database "${database}": ${first.message}`, {
      hint: 'let the pooler ignore it (PgBouncer: ignore_startup_parameters = options) and set the settings for the role, as docs/operating.md says',
      fields: { database, sqlState: code },
    });
  }
  if (code === NO_WRITES && !asked) return noWrites(database, { sqlState: code });
  if (code === NO_CONNECTION_LEFT) {
    return new SwitchbackError(
      'DatabaseUnreachable',
      `database "${database}" has no connection left for us: ${first.message}`,
      {
        retry: true,
        hint: 'it is tried again by itself; end connections of others, or raise max_connections or the CONNECTION LIMIT of the role or database',
        fields: { database, sqlState: code },
      },
    );
  }
  if (code === '3D000') {
    return new SwitchbackError(
      'DatabaseUnreachable',
      `database "${database}": ${first.message ?? 'it does not exist'}`,
      {
        hint: `check the database's name in the URL of databases.${database}`,
        fields: { database, sqlState: code },
      },
    );
  }
  if (
    UNREACHABLE.test(code) ||
    (/timeout|Connection terminated|connection error|not queryable/i.test(first.message ?? '') && code.length !== 5)
  ) {
    return new SwitchbackError(
      'DatabaseUnreachable',
      `database "${database}" can't be reached${address} (${code || first.message})`,
      {
        retry: true,
        hint: `check that it runs and that databases.${database}.url points to it`,
        fields: { database },
        cause: thrown,
      },
    );
  }
  if (code.length === 5)
    return new PostgresError(database, { ...first, message: first.message ?? 'unknown error', code });
  return new SwitchbackError('StatementFailed', `${database}: ${first.message ?? String(thrown)}`, {
    retry: true,
    fields: { database },
    cause: thrown,
  });
}
