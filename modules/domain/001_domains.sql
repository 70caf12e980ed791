CREATE TABLE IF NOT EXISTS domain_settings (
    id {serial},
    domain varchar(250) NOT NULL,
    host_type varchar(250) NOT NULL,
    status smallint NOT NULL DEFAULT 1,
    UNIQUE (domain)
);
CREATE TABLE IF NOT EXISTS domain_events (
    id {serial},
    domain varchar(250) NOT NULL
);
CREATE INDEX IF NOT EXISTS i_domain_events_domain ON domain_events (domain);
CREATE TABLE IF NOT EXISTS domain_admins (
    domain varchar(250) NOT NULL,
    pass_details text NOT NULL,
    PRIMARY KEY (domain)
);
