import type { Random } from '../engine/chaos-traffic.ts';
import { type Playbook, pick, type Row, tableClient } from './playbook.ts';

const next = (before: Row | null, random: Random): Row => ({
  email: before === null || random() < 0.3 ? `u${Math.floor(random() * 1e9)}@example.com` : (before['email'] ?? null),
  theme: before === null || random() < 0.5 ? pick(random, ['dark', 'light', null]) : (before['theme'] ?? null),
  locale: before === null || random() < 0.5 ? pick(random, ['nb', 'de', null]) : (before['locale'] ?? null),
});
const users = tableClient('users', { email: 'email' }, next);
const settingsOf = ({ theme = null, locale = null }: Row): (string | null)[] => [theme, locale];

export const mergeTables: Playbook = {
  name: 'merge-tables',
  warnings: [],
  old: {
    select: 'SELECT u.id, u.email, s.theme, s.locale FROM users u LEFT JOIN user_settings s ON s.user_id = u.id',
    next,
    async add(query, row) {
      const id = await users.add(query, row);
      if (settingsOf(row).some((value) => value !== null))
        await query('INSERT INTO user_settings (user_id, theme, locale) VALUES ($1, $2, $3)', [id, ...settingsOf(row)]);
      return id;
    },
    async change(query, id, row, before) {
      await users.change(query, id, row, before);
      if (String(settingsOf(row)) === String(settingsOf(before))) return;
      await query(
        `INSERT INTO user_settings (user_id, theme, locale) VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE SET theme = excluded.theme, locale = excluded.locale`,
        [id, ...settingsOf(row)],
      );
    },
    async remove(query, id) {
      await query('DELETE FROM user_settings WHERE user_id = $1', [id]);
      await users.remove(query, id);
    },
  },
  new: tableClient('users', { email: 'email', theme: 'theme', locale: 'locale' }, next),
};
