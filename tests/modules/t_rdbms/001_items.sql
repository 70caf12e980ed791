CREATE TABLE t_items (
    k varchar(250) NOT NULL PRIMARY KEY,
    n bigint NOT NULL DEFAULT 0,
    s text,
    b {bytes},
    created_at timestamp NOT NULL DEFAULT {now}
);
CREATE TABLE t_log (
    id {serial},
    text text NOT NULL
);
