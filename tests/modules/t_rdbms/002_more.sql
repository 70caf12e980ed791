-- What another migration can see.
ALTER TABLE t_items ADD COLUMN more integer NOT NULL DEFAULT 7;
