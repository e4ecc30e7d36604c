import type { Journal } from './journal.ts';
import type { Latencies } from './latency.ts';
import type { WriteKind } from './name-paths.ts';
import type { NameService } from './name-service.ts';
import { nameAt } from './names.ts';
import { seededRandom } from './random.ts';

/**
 * Live traffic: 100 requests a second in all, from the first second of the demo to its last. Arrivals are open-loop:
 * each request is due at a time that doesn't depend on how the earlier ones went, and its latency counts from then, so
 * that a stall shows up in full (no coordinated omission). A rename or a sign-up at accounts is followed by one at
 * billing and one at search, as an event would bring it there.
 */
export interface Services {
  accounts: NameService;
  billing: NameService;
  search: NameService;
}
export type Operation = 'read' | WriteKind;
export interface FailedRequest {
  service: keyof Services;
  operation: Operation;
  error: string;
  part: string;
}

/** Arrivals a second, by what a person does; a rename and a sign-up are three requests each: 100 requests a second. */
const ARRIVALS: readonly { operation: Operation; service: keyof Services; perSecond: number }[] = [
  { operation: 'read', service: 'accounts', perSecond: 44 },
  { operation: 'read', service: 'billing', perSecond: 12 },
  { operation: 'read', service: 'search', perSecond: 14 },
  { operation: 'rename', service: 'accounts', perSecond: 8 },
  { operation: 'sign-up', service: 'accounts', perSecond: 2 },
];
const ARRIVALS_PER_SECOND = ARRIVALS.reduce((sum, arrival) => sum + arrival.perSecond, 0);
const INTERVAL_MS = 1000 / ARRIVALS_PER_SECOND;
/** A third of the reads look at users who were just renamed: a lost write would show at once. */
const READ_RECENT_SHARE = 0.33;
const RECENT_MAX = 200;
const FAILURES_KEPT_MAX = 1_000;

export class Traffic {
  readonly #services: Services;
  readonly #journal: Journal;
  readonly #latencies: Latencies;
  readonly #random = seededRandom(20_260_101);
  readonly #busy = new Set<number>();
  readonly #recent: number[] = [];
  readonly #open = new Set<Promise<void>>();
  #lastUser: number;
  #renames = 0;
  #timer: NodeJS.Timeout | undefined;
  #nextDue = 0;
  /** The part of the demo that requests which are due now belong to. */
  part: 'warm-up' | 'before' | 'during' | 'after' = 'warm-up';
  readonly failures: FailedRequest[] = [];
  requests = 0;
  failed: Record<Operation, number> = { read: 0, rename: 0, 'sign-up': 0 };
  /** Reads that gave another name than the last one written. */
  wrongAnswers = 0;

  constructor(services: Services, journal: Journal, latencies: Latencies, users: number) {
    this.#services = services;
    this.#journal = journal;
    this.#latencies = latencies;
    this.#lastUser = users;
  }

  get failedTotal(): number {
    return this.failed.read + this.failed.rename + this.failed['sign-up'];
  }

  start(): void {
    this.#nextDue = performance.now();
    this.#tick();
  }

  /** No more arrivals; resolves when the last request has been answered. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await Promise.all(this.#open);
  }

  #tick(): void {
    for (const now = performance.now(); this.#nextDue <= now; this.#nextDue += INTERVAL_MS) {
      const running: Promise<void> = this.#arrive(this.#nextDue).finally(() => this.#open.delete(running));
      this.#open.add(running);
    }
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, this.#nextDue - performance.now()));
  }

  async #arrive(due: number): Promise<void> {
    const { operation, service } = this.#nextArrival();
    if (operation === 'read') {
      const user = this.#pickUser(READ_RECENT_SHARE);
      await this.#alone(user, () => this.#read(service, user, due));
      return;
    }
    const user = operation === 'sign-up' ? ++this.#lastUser : this.#pickUser(0);
    const name = operation === 'sign-up' ? nameAt(user) : nameAt(1 + Math.floor(this.#random() * 1_000_000));
    await this.#alone(user, async () => {
      await this.#write('accounts', operation, user, name, due);
      const eventAt = performance.now();
      await Promise.all([
        this.#write('billing', operation, user, name, eventAt),
        this.#write('search', operation, user, name, eventAt),
      ]);
      this.#recent[this.#renames++ % RECENT_MAX] = user;
    });
  }

  async #read(service: keyof Services, user: number, due: number): Promise<void> {
    await this.#request({ service, operation: 'read', part: this.part }, due, async () => {
      const found = await this.#services[service].read(user);
      if (!this.#journal.allows(service, user, found)) this.wrongAnswers += 1;
    });
  }

  async #write(service: keyof Services, operation: WriteKind, user: number, name: string, due: number): Promise<void> {
    const done = await this.#request({ service, operation, part: this.part }, due, () =>
      this.#services[service].write(user, name, operation),
    );
    if (done) this.#journal.acknowledged(service, user, name);
    else this.#journal.unknown(service, user, name);
  }

  /** Runs one request, times it from when it was due, and counts it. Whether it succeeded. */
  async #request(request: Omit<FailedRequest, 'error'>, due: number, run: () => Promise<void>): Promise<boolean> {
    this.requests += 1;
    const answered = (): void => this.#latencies.add(request.part, performance.now() - due);
    try {
      await run();
      answered();
      return true;
    } catch (error) {
      answered();
      const text = error instanceof Error ? error.message : String(error);
      this.failed[request.operation] += 1;
      if (this.failures.length < FAILURES_KEPT_MAX) this.failures.push({ ...request, error: text });
      return false;
    }
  }

  /** One request at a time per user, so that the journal knows which write was the last. */
  async #alone(user: number, run: () => Promise<void>): Promise<void> {
    this.#busy.add(user);
    try {
      await run();
    } finally {
      this.#busy.delete(user);
    }
  }

  #nextArrival(): (typeof ARRIVALS)[number] {
    let left = this.#random() * ARRIVALS_PER_SECOND;
    for (const arrival of ARRIVALS) {
      left -= arrival.perSecond;
      if (left < 0) return arrival;
    }
    return ARRIVALS[0] as (typeof ARRIVALS)[number];
  }

  #pickUser(recentShare: number): number {
    for (;;) {
      const recent = this.#random() < recentShare && this.#recent.length > 0;
      const user = recent
        ? (this.#recent[Math.floor(this.#random() * this.#recent.length)] as number)
        : 1 + Math.floor(this.#random() * this.#lastUser);
      if (!this.#busy.has(user)) return user;
    }
  }
}
