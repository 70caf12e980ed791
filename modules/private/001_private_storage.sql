CREATE TABLE IF NOT EXISTS private_storage (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    namespace varchar(250) NOT NULL,
    data text NOT NULL,
    created_at timestamp NOT NULL DEFAULT {now},
    PRIMARY KEY (server, username, namespace)
);
