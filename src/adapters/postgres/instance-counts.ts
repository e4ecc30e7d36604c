import type { Database } from './database.ts';

/**
 * What the instances of services have counted for a flag, from the home ledger (`switchback.instances`, which src/switch
 * writes). Those that have gone are in it: their counts stand still, and a sum over all of them never falls.
 */
export async function instanceCounts(
  database: Database,
  { environment, flag }: { environment: string; flag: string },
): Promise<{ at: number; instances: { instance: string; beganAt: number; counts: unknown }[] }> {
  const rows = await database.query(
    `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS at, i.instance,
       floor(extract(epoch FROM i.began_at) * 1000)::bigint::text AS began_at, i.counts::text AS counts
     FROM (SELECT) AS one
     LEFT JOIN switchback.instances i ON i.environment = $1 AND i.flag = $2
     ORDER BY i.instance`,
    [environment, flag],
  );
  return {
    at: Number(rows[0]?.['at']),
    instances: rows.flatMap(({ instance, began_at: beganAt, counts }) =>
      typeof instance === 'string'
        ? [{ instance, beganAt: Number(beganAt), counts: JSON.parse(counts ?? '{}') as unknown }]
        : [],
    ),
  };
}
