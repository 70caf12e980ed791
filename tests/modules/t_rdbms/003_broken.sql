CREATE TABLE t_never (a integer NOT NULL);
INSERT INTO t_nowhere (a) VALUES (1);
