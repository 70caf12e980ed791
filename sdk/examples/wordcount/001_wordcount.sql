CREATE TABLE IF NOT EXISTS example_wordcount (
    server varchar(250) NOT NULL,
    username varchar(250) NOT NULL,
    words bigint NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (server, username)
);
