CREATE TABLE IF NOT EXISTS rosterusers (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    jid text NOT NULL,
    nick text NOT NULL,
    subscription character(1) NOT NULL,
    ask character(1) NOT NULL,
    askmessage text NOT NULL,
    created_at timestamp NOT NULL DEFAULT {now},
    PRIMARY KEY (server, username, jid)
);
CREATE TABLE IF NOT EXISTS rostergroups (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    jid text NOT NULL,
    grp text NOT NULL,
    PRIMARY KEY (server, username, jid, grp)
);
CREATE TABLE IF NOT EXISTS roster_version (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    version text NOT NULL,
    PRIMARY KEY (server, username)
);
CREATE TABLE IF NOT EXISTS roster_flags (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    jid text NOT NULL,
    approved integer NOT NULL,
    shown integer NOT NULL,
    PRIMARY KEY (server, username, jid)
);
