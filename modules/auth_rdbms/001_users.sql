CREATE TABLE IF NOT EXISTS users (
    username varchar(250) NOT NULL,
    server varchar(250) NOT NULL,
    password text NOT NULL,
    pass_details text,
    created_at timestamp NOT NULL DEFAULT {now},
    PRIMARY KEY (server, username)
);
