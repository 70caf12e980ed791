# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""A MongooseIM's PostgreSQL database is taken over in place, used, and could be handed back."""
import contextlib
import re

import pytest

from database import Connection
from support import Client, Node, scram, wait_for
from test_auth_rdbms import multi_scram, single_scram

CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[auth_rdbms]
[roster]
[presence]
[offline]
[last]
[private]
[vcard]
[disco]
"""

# The columns and keys of MongooseIM 6.2.1's tables for PostgreSQL that we share.
SCHEMA = """
CREATE TABLE users (username varchar(250) NOT NULL, server varchar(250) NOT NULL, password text NOT NULL,
    pass_details text, created_at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (server, username));
CREATE TABLE last (server varchar(250) NOT NULL, username varchar(250) NOT NULL, seconds integer NOT NULL,
    state text NOT NULL, PRIMARY KEY (server, username));
CREATE TABLE rosterusers (server varchar(250) NOT NULL, username varchar(250) NOT NULL, jid text NOT NULL,
    nick text NOT NULL, subscription character(1) NOT NULL, ask character(1) NOT NULL,
    askmessage text NOT NULL, created_at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (server, username, jid));
CREATE TABLE rostergroups (server varchar(250) NOT NULL, username varchar(250) NOT NULL, jid text NOT NULL,
    grp text NOT NULL, PRIMARY KEY (server, username, jid, grp));
CREATE TABLE roster_version (server varchar(250) NOT NULL, username varchar(250) NOT NULL,
    version text NOT NULL, PRIMARY KEY (server, username));
CREATE TABLE vcard (username varchar(150) NOT NULL, server varchar(100) NOT NULL, vcard text NOT NULL,
    created_at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (server, username));
CREATE TABLE private_storage (server varchar(250) NOT NULL, username varchar(250) NOT NULL,
    namespace varchar(250) NOT NULL, data text NOT NULL, created_at timestamp NOT NULL DEFAULT now(),
    PRIMARY KEY (server, username, namespace));
CREATE TABLE offline_message (id serial NOT NULL PRIMARY KEY, timestamp bigint NOT NULL, expire bigint,
    server varchar(250) NOT NULL, username varchar(250) NOT NULL, from_jid varchar(250) NOT NULL,
    packet text NOT NULL, permanent_fields bytea);
"""


@pytest.fixture
def db(postgres):
    name = postgres.create("takeover")
    with contextlib.closing(postgres.connect(name)) as raw:
        connection = Connection(raw, True)
        connection.execute(SCHEMA)
        yield connection
    postgres.drop(name)


@pytest.fixture
def node(db, tmp_path):
    fill(db)
    node = Node(tmp_path, CONFIG, kind="sqlite")
    node.use_postgres("takeover")
    node.start()
    yield node
    node.stop()


def fill(db):
    for user, details in (("alice", multi_scram("r0m30")), ("bob", single_scram("b0b"))):
        db.execute("INSERT INTO users (server, username, password, pass_details) VALUES "
                   "('localhost', ?, '', ?)", (user, details))
    db.execute("INSERT INTO users (server, username, password) VALUES ('localhost', 'carol', 'in clear')")
    db.execute("INSERT INTO last VALUES ('localhost', 'bob', 1600000000, 'gone fishing')")
    for contact, nick, sub, ask, text in (
            ("bob@localhost", "Bob", "B", "N", ""), ("carol@localhost", "", "N", "O", ""),
            ("asks@far.example", "", "N", "I", "please"), ("dave@far.example", "D", "T", "N", "")):
        db.execute("INSERT INTO rosterusers (server, username, jid, nick, subscription, ask, askmessage) "
                   "VALUES ('localhost', 'alice', ?, ?, ?, ?, ?)", (contact, nick, sub, ask, text))
    db.execute("INSERT INTO rosterusers (server, username, jid, nick, subscription, ask, askmessage) "
               "VALUES ('localhost', 'bob', 'alice@localhost', '', 'B', 'N', '')")
    db.execute("INSERT INTO rostergroups VALUES ('localhost', 'alice', 'bob@localhost', 'Friends')")
    db.execute("INSERT INTO roster_version VALUES ('localhost', 'alice', '1600000000000000')")
    db.execute("INSERT INTO vcard (server, username, vcard) VALUES ('localhost', 'bob', "
               "'<vCard xmlns=\"vcard-temp\"><FN>Bob B.</FN></vCard>')")
    db.execute("INSERT INTO private_storage (server, username, namespace, data) VALUES ('localhost', 'alice', "
               "'storage:bookmarks', '<storage xmlns=\"storage:bookmarks\"/>')")
    db.execute("INSERT INTO offline_message (timestamp, expire, server, username, from_jid, packet, "
               "permanent_fields) VALUES (1600000000000000, NULL, 'localhost', 'alice', 'bob@localhost/phone', "
               "'<message from=\"bob@localhost/phone\" to=\"alice@localhost\" type=\"chat\"><body>hi</body>"
               "</message>', ?)", (b"\x83j",))


def log_in(node, user, password, mechanism):
    client = Client(node.port())
    assert "success" in scram(client, mechanism, user, password)
    client.restart()
    assert "type='result'" in client.iq(
        "set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind>")
    client.jid = f"{user}@localhost/r"
    return client


def test_everybody_logs_in_and_finds_what_was_there(node):
    alice = log_in(node, "alice", "r0m30", "SCRAM-SHA-256")
    text = alice.iq("get", "<query xmlns='jabber:iq:roster'/>")
    assert re.search("<item jid='bob@localhost' name='Bob' subscription='both'><group>Friends</group>", text)
    assert "<item ask='subscribe' jid='carol@localhost' subscription='none'" in text
    assert "jid='dave@far.example' name='D' subscription='to'" in text and "asks@far" not in text
    assert "<FN>Bob B.</FN>" in alice.iq("get", "<vCard xmlns='vcard-temp'/>", to="bob@localhost")
    last = alice.iq("get", "<query xmlns='jabber:iq:last'/>", to="bob@localhost")
    assert int(re.search("seconds='([0-9]+)'", last).group(1)) > 100_000_000 and "gone fishing" in last
    assert "<storage xmlns='storage:bookmarks'/>" in alice.iq(
        "get", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>")
    alice.presence()
    text = alice.until("<body>hi</body>.*?</message>")
    assert "stamp='2020-09-13T12:26:40Z'" in text
    assert re.search("<presence[^>]*from='asks@far.example'", text + alice.sync())
    log_in(node, "bob", "b0b", "SCRAM-SHA-1").drop()
    carol = Client(node.port())
    carol.login("carol", "in clear")
    carol.drop()
    alice.drop()


def test_what_is_changed_can_be_read_by_mongooseim(node, db):
    alice = log_in(node, "alice", "r0m30", "SCRAM-SHA-512")
    alice.iq("set", "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Robert'>"
             "<group>Family</group></item></query>")
    alice.iq("set", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><x/></storage></query>")
    alice.message("bob@localhost", "later")
    assert db.execute("SELECT nick, subscription, ask FROM rosterusers WHERE username = 'alice' AND "
                      "jid = 'bob@localhost'").fetchall() == [("Robert", "B", "N")]
    assert db.execute("SELECT grp FROM rostergroups WHERE username = 'alice'").fetchall() == [("Family",)]
    assert db.execute("SELECT data FROM private_storage WHERE username = 'alice'").fetchone()[0] \
        == "<storage xmlns='storage:bookmarks'><x/></storage>"
    row = wait_for(lambda: db.execute("SELECT timestamp, expire, from_jid, packet, permanent_fields "
                                      "FROM offline_message WHERE username = 'bob'").fetchone())
    assert row[0] > 1_600_000_000_000_000 and row[1] is None and row[2] == alice.jid
    assert row[3].startswith("<message") and "<body>later</body>" in row[3]
    assert row[4] is None or bytes(row[4]) == b"\x83j"
    # The password in clear was a MongooseIM's without SCRAM: it is kept in a form that both know.
    carol = Client(node.port())
    carol.login("carol", "in clear")
    carol.drop()
    password, details = db.execute("SELECT password, pass_details FROM users WHERE username = 'carol'").fetchone()
    assert (password, details) == ("in clear", None) or details.startswith("==MULTI_SCRAM==,")
    alice.drop()
