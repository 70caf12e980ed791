# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""vCards (XEP-0054) and the picture's hash in presence (XEP-0153)."""
import base64
import hashlib
import re

import pytest

HOSTS = "localhost, plain.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[rdbms_sqlite]
busy_timeout = 300ms
[roster]
[presence]
[auth_memory]
accounts = alice:secret, bob:secret, carol:secret, dave:secret, erin:secret, frank:secret
[vcard]
server_name = Test server
server_url = https://example.org/
[vcard@plain.example]
max_size = 1000
avatar = no
search = no
server_name =
"""
NS = "vcard-temp"
UPDATE = "vcard-temp:x:update"
IMAGE = bytes(range(256)) * 3
SHA1 = hashlib.sha1(IMAGE).hexdigest()
PHOTO = f"<PHOTO><TYPE>image/png</TYPE><BINVAL>{base64.encodebytes(IMAGE).decode()}</BINVAL></PHOTO>"
EMPTY = f"<vCard xmlns='{NS}'/>"


def vcard(inner):
    return f"<vCard xmlns='{NS}'>{inner}</vCard>"


def database(node):
    return node.db()


def own_presence(client, inner=""):
    """Sends presence; returns the copy that comes back to the client itself."""
    client.presence(inner)
    return client.stanza(rf"^<presence[^>]*from='{client.jid}'")


def test_a_vcard_is_read_by_its_owner_and_by_others(login):
    alice, bob = login("alice"), login("bob")
    card = vcard("<FN>Alice Ä</FN><N><FAMILY>&lt;L&gt;</FAMILY></N>")
    assert "type='result'" in alice.iq("set", card)
    assert card in alice.iq("get", EMPTY)
    assert card in alice.iq("get", EMPTY, to=alice.bare)
    answer = bob.iq("get", EMPTY, to=alice.bare)
    assert card in answer and f"from='{alice.bare}'" in answer


def test_a_vcard_is_replaced(login):
    alice = login("alice")
    alice.iq("set", vcard("<FN>one</FN>"))
    alice.iq("set", vcard("<FN>two</FN>"))
    assert vcard("<FN>two</FN>") in alice.iq("get", EMPTY)


def test_no_vcard_and_no_account_look_the_same(login):
    bob = login("bob")
    answers = [bob.iq("get", EMPTY, to=f"{user}@localhost") for user in ("carol", "nobody")]
    for answer in answers:
        assert "<item-not-found" in answer
    assert "<item-not-found" in bob.iq("get", EMPTY)


def test_nobody_sets_what_is_not_theirs(login):
    bob = login("bob")
    for to in ("alice@localhost", "localhost"):
        assert "<forbidden" in bob.iq("set", vcard("<FN>evil</FN>"), to=to)


def test_the_server_has_a_vcard_where_it_has_a_name(login):
    assert vcard("<FN>Test server</FN><URL>https://example.org/</URL>") in \
        login("bob").iq("get", EMPTY, to="localhost")
    other = login("bob", host="plain.example")
    assert "<item-not-found" in other.iq("get", EMPTY, to="plain.example")


def test_size_limit(login):
    bob = login("bob", host="plain.example")
    room = 1000 - len(vcard("<FN></FN>"))
    assert "type='result'" in bob.iq("set", vcard(f"<FN>{'x' * room}</FN>"))
    assert "<policy-violation" in bob.iq("set", vcard(f"<FN>{'y' * (room + 1)}</FN>"))
    assert ">xx" in bob.iq("get", EMPTY)


def test_the_tables_are_mongooseims(node, login):
    carol = login("dave")
    carol.iq("set", vcard(
        "<FN>Dave ÄÖ Smith</FN><N><FAMILY>Smith</FAMILY><GIVEN>Dave</GIVEN><MIDDLE>B.</MIDDLE></N>"
        "<NICKNAME>Davy</NICKNAME><BDAY>1970-01-01</BDAY><ADR><CTRY>UK</CTRY><LOCALITY>York</LOCALITY>"
        "</ADR><EMAIL><INTERNET/><USERID>Dave@Example.ORG</USERID></EMAIL>"
        f"<ORG><ORGNAME>{'O' * 300}</ORGNAME><ORGUNIT>R&amp;D</ORGUNIT></ORG>"))
    db = database(node)
    row = db.execute("SELECT username, lusername, server, fn, lfn, family, lfamily, given, lgiven, middle, "
                     "lmiddle, nickname, lnickname, bday, lbday, ctry, lctry, locality, llocality, email, "
                     "lemail, orgname, lorgname, orgunit, lorgunit FROM vcard_search "
                     "WHERE lusername = 'dave'").fetchone()
    assert row == ("dave", "dave", "localhost", "Dave ÄÖ Smith", "dave äö smith", "Smith", "smith", "Dave",
                   "dave", "B.", "b.", "Davy", "davy", "1970-01-01", "1970-01-01", "UK", "uk", "York",
                   "york", "Dave@Example.ORG", "dave@example.org", "O" * 250, "o" * 250, "R&D", "r&d")
    db.execute("INSERT INTO vcard (username, server, vcard) VALUES "
               "('erin', 'localhost', '<vCard xmlns=\"vcard-temp\"><FN>Erin</FN></vCard>')")
    db.execute("INSERT INTO vcard (username, server, vcard) VALUES ('broken', 'localhost', '<vC')")
    assert vcard("<FN>Erin</FN>") in carol.iq("get", EMPTY, to="erin@localhost")
    assert "<internal-server-error" in carol.iq("get", EMPTY, to="broken@localhost")
    other = login("dave", host="plain.example")
    other.iq("set", vcard("<FN>x</FN>"))
    assert not db.execute("SELECT * FROM vcard_search WHERE server = 'plain.example'").fetchall()
    db.close()


def test_a_database_that_does_not_answer_is_a_temporary_error(node, login):
    alice = login("alice")
    db = node.db()
    db.lock("vcard")
    answer = alice.iq("set", vcard("<FN>lost</FN>"))
    assert re.search("<error type='wait'><resource-constraint", answer), answer
    db.unlock()
    db.close()
    assert "lost" not in alice.iq("get", EMPTY)


# -- XEP-0153

def test_presence_without_a_vcard_is_left_alone(login):
    assert UPDATE not in own_presence(login("carol"))


def test_presence_gets_the_hash_of_the_picture(login):
    frank = login("frank")
    frank.iq("set", vcard(PHOTO))
    assert f"<x xmlns='{UPDATE}'><photo>{SHA1}</photo></x>" in own_presence(frank, "<show>away</show>")
    later = login("frank", resource="later")
    for _ in range(2):
        copy = own_presence(later, f"<x xmlns='{UPDATE}'/>")
        assert copy.count(UPDATE) == 1 and f"<photo>{SHA1}</photo>" in copy


def test_a_new_picture_shows_in_other_sessions_too(login):
    frank, other = login("frank"), login("frank", resource="other")
    frank.iq("set", vcard(PHOTO))
    own_presence(other)
    frank.iq("set", vcard("<FN>Frank</FN>"))
    # The news reaches the other session's worker by itself, so ask until it has.
    for _ in range(100):
        if "<photo/>" in own_presence(other):
            break
    else:
        raise AssertionError("the picture is still advertised")
    assert "<photo/>" in own_presence(frank)


def test_the_clients_own_hash_is_not_touched(login):
    frank = login("frank")
    frank.iq("set", vcard(PHOTO))
    for photo in ("<photo>0123</photo>", "<photo/>"):
        copy = own_presence(frank, f"<x xmlns='{UPDATE}'>{photo}</x>")
        assert photo in copy and SHA1 not in copy


def test_directed_presence_gets_the_hash(login):
    frank, bob = login("frank"), login("bob")
    frank.iq("set", vcard(PHOTO))
    bob.presence().sync()
    frank.presence(to=bob.jid)
    assert SHA1 in bob.stanza(rf"^<presence[^>]*from='{frank.jid}'")


def test_presence_is_left_alone_where_the_option_is_off(login):
    bob = login("carol", host="plain.example")
    bob.iq("set", vcard("<FN>x</FN>"))
    assert UPDATE not in own_presence(bob)


@pytest.mark.parametrize("binval", ["", "!!!!", "<x/>"])
def test_a_picture_that_cannot_be_read_is_none(login, binval):
    frank = login("frank")
    frank.iq("set", vcard(f"<PHOTO><BINVAL>{binval}</BINVAL></PHOTO>"))
    assert "<photo/>" in own_presence(frank)
