-- Run once, by the Postgres image, when its volume is new.
CREATE DATABASE ledger;
CREATE DATABASE accounts;
CREATE DATABASE billing;
CREATE DATABASE search;
