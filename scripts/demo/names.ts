/**
 * The names of the demo's users, the same in every run: `nameAt(i)` here and `NAME_SQL` in Postgres give the same name
 * for the same i (a test compares them). One user in four has a name that breaks a naive split: one word, four words,
 * accents in both normal forms, emoji, spaces in front, behind and doubled in the middle, nothing at all.
 */
export const GIVEN_NAMES: readonly string[] = [
  'Ana',
  'Bo',
  'Chidi',
  'Dagny',
  'Emeka',
  'Fatima',
  'Grace',
  'Hiroshi',
  'Ingrid',
  'José',
  'Kwame',
  'Léa',
  'Mei',
  'Nils',
  'Olga',
  'Priya',
  'Quentin',
  'Rosa',
  'Søren',
  'Tariq',
  'Uma',
  'Víctor',
  'Wanjiru',
  'Xiomara',
  'Yusuf',
  'Zoë',
  'Åse',
  'Đorđe',
  'Łukasz',
  'Müge',
  'Nguyễn',
  'Ольга',
  'Γιάννης',
  'さくら',
  '민준',
  'דוד',
  'فاطمة',
];
export const FAMILY_NAMES: readonly string[] = [
  'Adeyemi',
  'Bjørnson',
  'Castillo',
  'Dubois',
  'Eriksen',
  'Ferreira',
  'García',
  'Haddad',
  'Ivanova',
  'Johansson',
  'Kowalczyk',
  'Lindqvist',
  'MacDonald',
  'Nakamura',
  "O'Brien",
  'Petrović',
  'Quispe',
  'Rao',
  'Schäfer',
  'Tanaka',
  'Ümit',
  'van Dijk',
  'Wang',
  'Xu',
  'Yıldız',
  'Zhang',
  'Öztürk',
  'Ćosić',
  'Smith-Jones',
  'de la Cruz',
  'Ngũgĩ',
  'Κωνσταντίνου',
  '田中',
  '김',
  'כהן',
  'العلي',
  'Dvořák',
  'Åkesson',
  'Nowak',
  'Mbeki',
  'Singh',
];

/** `$1` and `$2` are the lists above; `i` is a bigint. Strides that are coprime to the lengths spread the pairs. */
const given = (shift: number): string => `($1::text[])[1 + (i * 7919 + ${shift}) % ${GIVEN_NAMES.length}]`;
const family = (shift: number): string => `($2::text[])[1 + (i * 104729 + ${shift}) % ${FAMILY_NAMES.length}]`;
export const NAME_SQL = `CASE i % 40
  WHEN 0 THEN ${given(0)}
  WHEN 1 THEN ${given(0)} || ' ' || ${given(5)} || ' ' || ${family(0)} || ' ' || ${family(9)}
  WHEN 2 THEN ${given(0)} || ' 🦊 ' || ${family(0)}
  WHEN 3 THEN '  ' || ${given(0)} || ' ' || ${family(0)}
  WHEN 4 THEN ${given(0)} || '  ' || ${family(0)}
  WHEN 5 THEN ${given(0)} || ' ' || ${family(0)} || ' '
  WHEN 6 THEN 'Zoe' || U&'\\0308' || ' ' || ${family(0)}
  WHEN 7 THEN '👩‍🚀' || ' ' || ${family(0)}
  WHEN 8 THEN CASE WHEN i % 400 = 8 THEN '' ELSE ${family(0)} || ', ' || ${given(0)} END
  WHEN 9 THEN CASE WHEN i % 400 = 9 THEN ' ' ELSE ${given(0)} || '-' || ${given(3)} || ' ' || ${family(0)} END
  ELSE ${given(0)} || ' ' || ${family(0)}
END`;

const at = (list: readonly string[], stride: number, shift: number, i: number): string =>
  list[(i * stride + shift) % list.length] as string;

/** The name of user `i` (a whole number from 1 up to 10⁹: the strides stay within a safe integer). */
export function nameAt(i: number): string {
  const g = (shift: number): string => at(GIVEN_NAMES, 7919, shift, i);
  const f = (shift: number): string => at(FAMILY_NAMES, 104729, shift, i);
  switch (i % 40) {
    case 0:
      return g(0);
    case 1:
      return `${g(0)} ${g(5)} ${f(0)} ${f(9)}`;
    case 2:
      return `${g(0)} 🦊 ${f(0)}`;
    case 3:
      return `  ${g(0)} ${f(0)}`;
    case 4:
      return `${g(0)}  ${f(0)}`;
    case 5:
      return `${g(0)} ${f(0)} `;
    case 6:
      return `Zoe\u0308 ${f(0)}`;
    case 7:
      return `👩‍🚀 ${f(0)}`;
    case 8:
      return i % 400 === 8 ? '' : `${f(0)}, ${g(0)}`;
    case 9:
      return i % 400 === 9 ? ' ' : `${g(0)}-${g(3)} ${f(0)}`;
    default:
      return `${g(0)} ${f(0)}`;
  }
}

export interface SplitName {
  given: string;
  /** Null where the full name has no space; then it isn't the same as an empty family name. */
  family: string | null;
}

/** The plan's `up`, as the services' new code does it: at the first space, which belongs to neither side. */
export function splitName(fullName: string): SplitName {
  const space = fullName.indexOf(' ');
  return space === -1
    ? { given: fullName, family: null }
    : { given: fullName.slice(0, space), family: fullName.slice(space + 1) };
}

/** The plan's `down`: the exact inverse of `splitName`. */
export const joinName = (name: SplitName): string =>
  name.family === null ? name.given : `${name.given} ${name.family}`;
