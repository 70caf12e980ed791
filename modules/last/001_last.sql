CREATE TABLE IF NOT EXISTS last (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    seconds integer NOT NULL,
    state text NOT NULL,
    PRIMARY KEY (server, username)
);
CREATE INDEX IF NOT EXISTS i_last_server_seconds ON last (server, seconds);
