CREATE TABLE IF NOT EXISTS discovery_nodes (
    cluster_name varchar(250) NOT NULL,
    node_name varchar(250) NOT NULL,
    node_num integer NOT NULL,
    address varchar(250) NOT NULL DEFAULT '',
    updated_timestamp bigint NOT NULL,
    PRIMARY KEY (node_name)
);
CREATE UNIQUE INDEX IF NOT EXISTS i_discovery_nodes_node_num ON discovery_nodes (cluster_name, node_num);
