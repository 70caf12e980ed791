CREATE TABLE IF NOT EXISTS sasl_secret (
    id integer NOT NULL PRIMARY KEY,
    secret text NOT NULL
);
