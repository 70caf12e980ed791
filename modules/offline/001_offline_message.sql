CREATE TABLE IF NOT EXISTS offline_message (
    id {serial},
    timestamp bigint NOT NULL,
    expire bigint,
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    from_jid varchar(250) NOT NULL,
    packet text NOT NULL,
    permanent_fields {bytes}
);
CREATE INDEX IF NOT EXISTS i_offline_message ON offline_message (server, username, id);
