import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Random, randomFrom } from '../engine/chaos-traffic.ts';
import type { Service, Side } from './flags.ts';
import type { Client, Playbook, Query, Row } from './playbook.ts';

/** Each lane is one request at a time, on things of its own; with the rest between them about fifteen a second in all. */
const LANES = 3;
const REST_MS = 200;
/** What Postgres asks a client to do again: serialization failures and deadlocks. */
const AGAIN = ['40001', '40P01'];
const AGAIN_MAX = 5;
/** Clients of a service that waits no longer for an answer than people do. */
const CLIENT_LOCK_TIMEOUT_MS = 20_000;

/** Of those that are told: the first say it all. */
const DIFFERENCES_MAX = 5;

export interface TrafficOptions {
  playbook: Playbook;
  url: string;
  seed: number;
  service: Service;
}

/**
 * A service in the middle of a migration: for each request the flag says which code to run, the old client's or the new
 * one's. A thing is written by one lane, now by this code and now by that; the model has what was acknowledged last, and
 * every read must give it.
 */
export class Traffic {
  readonly faults: string[] = [];
  readonly requests: Record<Side, number> = { old: 0, new: 0 };
  /** Requests that were tried again, by SQLSTATE. */
  readonly again: Record<string, number> = {};
  readonly #options: TrafficOptions;
  readonly #model = new Map<string, Row>();
  readonly #over = new AbortController();
  #lanes: Lane[] = [];
  #running: Promise<void>[] = [];
  #still: Promise<void> | null = null;

  private constructor(options: TrafficOptions) {
    this.#options = options;
  }

  static async start(options: TrafficOptions): Promise<Traffic> {
    const traffic = new Traffic(options);
    const { playbook, url, seed, service } = options;
    const connections = await Promise.all(Array.from({ length: LANES }, () => connect(url)));
    const [first] = connections;
    if (first === undefined) throw new Error('no lane');
    const fromOld = playbook.fromOld ?? ((row: Row) => row);
    for (const [id, seen] of await rowsOf(first, playbook.old)) traffic.#model.set(id, fromOld(seen));
    if (traffic.#model.size === 0) throw new Error('the old schema has no rows');
    const ids = [...traffic.#model.keys()];
    traffic.#lanes = connections.map((connection, number) => {
      const own = ids.filter((_, at) => at % LANES === number);
      return new Lane(traffic, { playbook, connection, own, random: randomFrom(seed + number), service });
    });
    traffic.#running = traffic.#lanes.map((lane) => traffic.#run(lane));
    return traffic;
  }

  async #run(lane: Lane): Promise<void> {
    while (!this.#over.signal.aborted) {
      await lane.act();
      await sleep(REST_MS * (0.5 + lane.random()));
      await this.#still;
    }
  }

  get model(): Map<string, Row> {
    return this.#model;
  }

  /** What is wrong with the table as the given clients see it. While it looks nobody writes. */
  async compare(sides: readonly Side[]): Promise<string[]> {
    const looked = Promise.withResolvers<void>();
    this.#still = looked.promise;
    try {
      await Promise.all(this.#lanes.map((lane) => lane.idle));
      const wrong = [];
      for (const side of sides) wrong.push(...(await this.#differences(side)));
      return wrong.slice(0, DIFFERENCES_MAX);
    } finally {
      this.#still = null;
      looked.resolve();
    }
  }

  async #differences(side: Side): Promise<string[]> {
    const client = await connect(this.#options.url);
    try {
      const rows = await rowsOf(client, this.#options.playbook[side]);
      const ids = new Set([...rows.keys(), ...this.#model.keys()]);
      return [...ids].flatMap((id) => {
        const wanted = this.#model.get(id);
        const fault = difference(rows.get(id), wanted === undefined ? undefined : this.seenBy(side, wanted));
        return fault === null ? [] : [`${side} clients see ${id}: ${fault}`];
      });
    } finally {
      await client.end();
    }
  }

  seenBy(side: Side, row: Row): Row {
    const { oldForm } = this.#options.playbook;
    return side === 'old' && oldForm !== undefined ? oldForm(row) : row;
  }

  /** Resolves when this side's code has served so many more requests, or one has failed. */
  async untilMore(side: Side, requests: number): Promise<void> {
    const enough = this.requests[side] + requests;
    while (this.requests[side] < enough && this.faults.length === 0) await sleep(REST_MS);
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#running);
    await Promise.all(this.#lanes.map((lane) => lane.end()));
    await this.#options.service.close();
  }
}

interface LaneOptions {
  playbook: Playbook;
  connection: pg.Client;
  own: string[];
  random: Random;
  service: Service;
}

class Lane {
  readonly random: Random;
  readonly #traffic: Traffic;
  readonly #options: LaneOptions;
  readonly #own: string[];
  /** The request that is under way. */
  idle: Promise<void> = Promise.resolve();

  constructor(traffic: Traffic, options: LaneOptions) {
    this.#traffic = traffic;
    this.#options = options;
    this.#own = options.own;
    this.random = options.random;
  }
  act(): Promise<void> {
    this.idle = this.#request();
    return this.idle;
  }
  end(): Promise<void> {
    return this.#options.connection.end();
  }

  async #request(): Promise<void> {
    const user = Math.floor(this.random() * 1_000);
    const act = this.random();
    const what = act < 0.4 ? 'read' : act < 0.7 ? 'change' : act < 0.9 ? 'add' : 'remove';
    let served: Side | 'neither' = 'neither';
    try {
      await this.#options.service.serve(user, what === 'read' ? 'read' : 'write', async (side) => {
        served = side;
        if (what === 'read') await this.#check(side, this.#pick());
        else await this.#write(side, what);
        this.#traffic.requests[side] += 1;
      });
    } catch (error) {
      const { code = '', message } = error as { code?: string; message: string };
      this.#traffic.faults.push(`${new Date().toISOString()} ${served} ${what}: ${code} ${message}`);
    }
  }

  /** Writes, takes note of what was acknowledged, and reads it back. */
  async #write(side: Side, what: 'change' | 'add' | 'remove'): Promise<void> {
    const client = this.#options.playbook[side];
    const { model } = this.#traffic;
    if (what === 'add') {
      const row = client.next(null, this.random);
      const id = await this.#transaction((query) => client.add(query, row));
      model.set(id, row);
      this.#own.push(id);
      return this.#check(side, id);
    }
    const id = this.#pick();
    const before = model.get(id);
    if (before === undefined) throw new Error(`the model has no ${id}`);
    if (what === 'remove') {
      await this.#transaction((query) => client.remove(query, id));
      model.delete(id);
      this.#own.splice(this.#own.indexOf(id), 1);
    } else {
      const row = client.next(before, this.random);
      await this.#transaction((query) => client.change(query, id, row, before));
      model.set(id, row);
    }
    return this.#check(side, id);
  }

  async #check(side: Side, id: string): Promise<void> {
    const client = this.#options.playbook[side];
    const rows = await this.#query(`SELECT * FROM (${client.select}) seen WHERE id = $1`, [id]);
    const wanted = this.#traffic.model.get(id);
    const fault = difference(
      rows[0] === undefined ? undefined : withoutId(rows[0]),
      wanted === undefined ? undefined : this.#traffic.seenBy(side, wanted),
    );
    if (fault !== null) throw new Error(`${id}: ${fault}`);
  }

  #pick(): string {
    return this.#own[Math.floor(this.random() * this.#own.length)] as string;
  }
  /** Prepared, as drivers do: the same plan is used again after the tables have changed. */
  readonly #query: Query = async (text, values = []) => {
    const { rows } = await this.#options.connection.query<Row>({ name: nameOf(text), text, values: [...values] });
    return rows;
  };

  async #transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const { connection } = this.#options;
    for (let times = 1; ; times++) {
      await connection.query('BEGIN');
      try {
        const result = await work(this.#query);
        await connection.query('COMMIT');
        return result;
      } catch (error) {
        await connection.query('ROLLBACK');
        const { code = '' } = error as { code?: string };
        if (!AGAIN.includes(code) || times === AGAIN_MAX) throw error;
        this.#traffic.again[code] = (this.#traffic.again[code] ?? 0) + 1;
      }
    }
  }
}

/** Postgres cuts names off after 63 bytes. */
const names = new Map<string, string>();
const nameOf = (text: string): string => {
  const name = names.get(text) ?? `statement ${names.size}`;
  names.set(text, name);
  return name;
};

const withoutId = (row: Row): Row => Object.fromEntries(Object.entries(row).filter(([name]) => name !== 'id'));

/** What a read gave against what it must give; null where they are the same. */
function difference(found: Row | undefined, wanted: Row | undefined): string | null {
  const text = (row: Row | undefined): string =>
    row === undefined ? 'nothing' : JSON.stringify(row, Object.keys(row).toSorted());
  return text(found) === text(wanted) ? null : `is ${text(found)}, must be ${text(wanted)}`;
}

async function rowsOf(client: pg.Client, { select }: Client): Promise<Map<string, Row>> {
  const { rows } = await client.query<Row>(select);
  return new Map(rows.map((row) => [row['id'] ?? '', withoutId(row)]));
}

const asText = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;
async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'service',
    options: `-c lock_timeout=${CLIENT_LOCK_TIMEOUT_MS}`,
    types: asText,
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
