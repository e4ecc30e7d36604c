import { nameAt } from './names.ts';
import type { ServiceTable } from './service-tables.ts';

type Service = ServiceTable['service'];
/** What a service's table must hold: the last name that was acknowledged, or one whose outcome is unknown. */
interface Written {
  /** Null: the user has not been signed up for certain. */
  acknowledged: string | null;
  unknown: string[];
}

/**
 * Every write that was sent to the services, so that the end can prove that none was lost. Writes of one user are one
 * after the other (the traffic sees to it); one that failed may or may not have happened, so both values will do.
 */
export class Journal {
  readonly #users: number;
  readonly #written = new Map<Service, Map<number, Written>>();
  #writes = 0;

  /** Users 1 … `users` exist from the start, with the name that `nameAt` gives them. */
  constructor(users: number) {
    this.#users = users;
  }

  /** How many writes were acknowledged. */
  get writes(): number {
    return this.#writes;
  }

  acknowledged(service: Service, userId: number, name: string): void {
    this.#of(service).set(userId, { acknowledged: name, unknown: [] });
    this.#writes += 1;
  }

  unknown(service: Service, userId: number, name: string): void {
    const before = this.#expected(service, userId);
    this.#of(service).set(userId, { ...before, unknown: [...before.unknown, name] });
  }

  /** The users that were written to. */
  users(service: Service): number[] {
    return [...this.#of(service).keys()];
  }

  /** Whether `found` is what this user's name may be now; null stands for no such user. */
  allows(service: Service, userId: number, found: string | null): boolean {
    const expected = this.#expected(service, userId);
    return found === expected.acknowledged || (found !== null && expected.unknown.includes(found));
  }

  #expected(service: Service, userId: number): Written {
    const first = userId <= this.#users ? nameAt(userId) : null;
    return this.#of(service).get(userId) ?? { acknowledged: first, unknown: [] };
  }

  #of(service: Service): Map<number, Written> {
    let of = this.#written.get(service);
    if (of === undefined) {
      of = new Map();
      this.#written.set(service, of);
    }
    return of;
  }
}
