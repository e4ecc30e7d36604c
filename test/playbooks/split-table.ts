import type { Random } from '../engine/chaos-traffic.ts';
import { type Playbook, pick, type Row, tableClient } from './playbook.ts';

/** Some change one column, some another: the two tables are not always written together. */
const next = (before: Row | null, random: Random): Row => ({
  email: before === null || random() < 0.3 ? `u${Math.floor(random() * 1e9)}@example.com` : (before['email'] ?? null),
  bio: before === null || random() < 0.5 ? pick(random, ['Likes rain', 'É ü 🎉', '', null]) : (before['bio'] ?? null),
  city: before === null || random() < 0.5 ? pick(random, ['Oslo', 'Tromsø', null]) : (before['city'] ?? null),
});
const users = tableClient('users', { email: 'email' }, next);
const profiles = tableClient('profiles', { bio: 'bio', city: 'city' }, next, 'user_id');

export const splitTable: Playbook = {
  name: 'split-table',
  warnings: [],
  switched: true,
  old: tableClient('users', { email: 'email', bio: 'bio', city: 'city' }, next),
  new: {
    select: 'SELECT u.id, u.email, p.bio, p.city FROM users u JOIN profiles p ON p.user_id = u.id',
    next,
    async add(query, row) {
      const id = await users.add(query, row);
      await query('INSERT INTO profiles (user_id, bio, city) VALUES ($1, $2, $3)', [
        id,
        row['bio'] ?? null,
        row['city'] ?? null,
      ]);
      return id;
    },
    async change(query, id, row, before) {
      await users.change(query, id, row, before);
      await profiles.change(query, id, row, before);
    },
    async remove(query, id) {
      await profiles.remove(query, id);
      await users.remove(query, id);
    },
  },
};
