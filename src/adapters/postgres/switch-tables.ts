/**
 * What services with `src/switch` and the engine tell each other, in the home ledger. Services write `instances` and
 * read `stages`; the engine writes `stages` and reads `instances`. `generation` rises with every change of a stage.
 *
 * An instance says what it acts on: the stage and generation that it has read, and the percent of users that its
 * client's copy of the flag lets onto the new path. Who doesn't renew its lease is taken for dead. `counts` are
 * counters since the instance began; another `instance` begins again at 0.
 */
export const SWITCHES = `
CREATE TABLE switchback.stages (
  environment text NOT NULL,
  flag text NOT NULL,
  stage text NOT NULL CHECK (stage IN ('off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete')),
  generation bigint NOT NULL,
  migration text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (environment, flag)
) WITH (fillfactor = 50);

CREATE TABLE switchback.instances (
  environment text NOT NULL,
  flag text NOT NULL,
  instance text NOT NULL,
  service text NOT NULL,
  stage text NOT NULL CHECK (stage IN ('off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete')),
  generation bigint NOT NULL,
  exposure integer NOT NULL CHECK (exposure BETWEEN 0 AND 100),
  counts jsonb NOT NULL DEFAULT '{}',
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  lease_until timestamptz NOT NULL,
  PRIMARY KEY (environment, flag, instance)
) WITH (fillfactor = 50);`;
