CREATE TABLE IF NOT EXISTS privacy_default_list (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (server, username)
);
CREATE TABLE IF NOT EXISTS privacy_list (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    name text NOT NULL,
    id {serial},
    created_at timestamp NOT NULL DEFAULT {now},
    UNIQUE (server, username, name)
);
CREATE TABLE IF NOT EXISTS privacy_list_data (
    id bigint REFERENCES privacy_list (id) ON DELETE CASCADE,
    t character(1) NOT NULL,
    value text NOT NULL,
    action character(1) NOT NULL,
    ord integer NOT NULL,
    match_all boolean NOT NULL,
    match_iq boolean NOT NULL,
    match_message boolean NOT NULL,
    match_presence_in boolean NOT NULL,
    match_presence_out boolean NOT NULL,
    PRIMARY KEY (id, ord)
);
