CREATE TABLE IF NOT EXISTS vcard (
    username varchar(150) NOT NULL,
    server varchar(100) NOT NULL,
    vcard text NOT NULL,
    created_at timestamp NOT NULL DEFAULT {now},
    PRIMARY KEY (server, username)
);
CREATE TABLE IF NOT EXISTS vcard_search (
    username varchar(150) NOT NULL,
    lusername varchar(100) NOT NULL,
    server varchar(250) NOT NULL,
    fn text NOT NULL,
    lfn text NOT NULL,
    family text NOT NULL,
    lfamily text NOT NULL,
    given text NOT NULL,
    lgiven text NOT NULL,
    middle text NOT NULL,
    lmiddle text NOT NULL,
    nickname text NOT NULL,
    lnickname text NOT NULL,
    bday text NOT NULL,
    lbday text NOT NULL,
    ctry text NOT NULL,
    lctry text NOT NULL,
    locality text NOT NULL,
    llocality text NOT NULL,
    email text NOT NULL,
    lemail text NOT NULL,
    orgname text NOT NULL,
    lorgname text NOT NULL,
    orgunit text NOT NULL,
    lorgunit text NOT NULL,
    PRIMARY KEY (server, lusername)
);
CREATE INDEX IF NOT EXISTS i_vcard_search_lfn ON vcard_search (lfn);
CREATE INDEX IF NOT EXISTS i_vcard_search_lfamily ON vcard_search (lfamily);
CREATE INDEX IF NOT EXISTS i_vcard_search_lgiven ON vcard_search (lgiven);
CREATE INDEX IF NOT EXISTS i_vcard_search_lmiddle ON vcard_search (lmiddle);
CREATE INDEX IF NOT EXISTS i_vcard_search_lnickname ON vcard_search (lnickname);
CREATE INDEX IF NOT EXISTS i_vcard_search_lbday ON vcard_search (lbday);
CREATE INDEX IF NOT EXISTS i_vcard_search_lctry ON vcard_search (lctry);
CREATE INDEX IF NOT EXISTS i_vcard_search_llocality ON vcard_search (llocality);
CREATE INDEX IF NOT EXISTS i_vcard_search_lemail ON vcard_search (lemail);
CREATE INDEX IF NOT EXISTS i_vcard_search_lorgname ON vcard_search (lorgname);
CREATE INDEX IF NOT EXISTS i_vcard_search_lorgunit ON vcard_search (lorgunit);
