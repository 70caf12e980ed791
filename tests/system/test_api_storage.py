# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Categories vcard, private, last and offline of the GraphQL API: the same things that clients find in XMPP."""
import re
import time

import pytest

import api
import support
from fields import Enum, Fields

HOSTS = "localhost, other.example, old.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[roster]
[presence]
[vcard]
max_size = 4K
[private]
max_size = 1000
max_elements = 2
[last]
max_listed = 3
[offline]
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
[admin]
"""


@pytest.fixture
def ask(node):
    return Fields(api.admin(node))


@pytest.fixture
def person(ask):
    """A new account: its bare JID."""
    def make(name=None, domain="localhost"):
        more = {"username": name} if name else {}
        return ask.mutation("account", "registerUser", "jid", domain=domain, password="secret", **more)["jid"]
    return make


def as_user(node, jid):
    name, host = jid.split("@")
    return Fields(api.user(node, name, host=host))


def client_of(login, jid):
    name, host = jid.split("@")
    return login(name, host=host)


# -- vcard

INPUT = {
    "formattedName": "Ann <A>", "nameComponents": {"family": "A", "givenName": "Ann", "middleName": "M", "prefix": "Dr", "suffix": "jr"},
    "nickname": ["a1", "a2"], "photo": [{"type": "image/png", "binValue": "YWJj"}, {"extValue": "https://example.org/p"}],
    "birthday": ["2000-01-01"],
    "address": [{"tags": [Enum("HOME"), Enum("PREF")], "pobox": "1", "extadd": "2", "street": "3", "locality": "4", "region": "5",
                 "pcode": "6", "country": "7"}],
    "label": [{"tags": [Enum("WORK")], "line": ["one", "two"]}], "telephone": [{"tags": [Enum("CELL")], "number": "123"}],
    "email": [{"tags": [Enum("INTERNET")], "userId": "a@example.org"}], "jabberId": ["a@localhost"], "mailer": ["m"],
    "timeZone": ["+01"], "geo": [{"lat": "1.5", "lon": "2.5"}], "title": ["t"], "role": ["r"], "logo": [{"extValue": "l"}],
    "agent": [{"vcard": {"formattedName": "Agent", "nameComponents": {"family": "Smith"}}}, {"extValue": "a"}],
    "org": [{"orgname": "o", "orgunit": ["u1", "u2"]}], "categories": [{"keyword": ["k1", "k2"]}], "note": ["n"],
    "prodId": ["p"], "rev": ["1"], "sortString": ["s"], "sound": [{"phonetic": "ann"}, {"binValue": "YWJj"}, {"extValue": "x"}],
    "uid": ["id"], "url": ["https://example.org/"], "desc": ["d"], "class": [{"tags": [Enum("PRIVATE")]}],
    "key": [{"type": "x509", "credential": "c"}]}
AGENT = "formattedName nameComponents { family }"
VCARD = f"""formattedName nameComponents {{ family givenName middleName prefix suffix }} nickname
photo {{ ... on ImageData {{ type binValue }} ... on External {{ extValue }} }} birthday
address {{ tags pobox extadd street locality region pcode country }} label {{ tags line }} telephone {{ tags number }}
email {{ tags userId }} jabberId mailer timeZone geo {{ lat lon }} title role logo {{ ... on External {{ extValue }} }}
agent {{ ... on AgentVcard {{ vcard {{ {AGENT} }} }} ... on External {{ extValue }} }} org {{ orgname orgunit }}
categories {{ keyword }} note prodId rev sortString
sound {{ ... on Phonetic {{ phonetic }} ... on BinValue {{ binValue }} ... on External {{ extValue }} }} uid url desc
class {{ tags }} key {{ type credential }}"""
XML = ["<FN>Ann &lt;A&gt;</FN>", "<N><FAMILY>A</FAMILY><GIVEN>Ann</GIVEN><MIDDLE>M</MIDDLE><PREFIX>Dr</PREFIX><SUFFIX>jr</SUFFIX></N>",
       "<NICKNAME>a1</NICKNAME><NICKNAME>a2</NICKNAME>", "<PHOTO><TYPE>image/png</TYPE><BINVAL>YWJj</BINVAL></PHOTO>",
       "<PHOTO><EXTVAL>https://example.org/p</EXTVAL></PHOTO>", "<BDAY>2000-01-01</BDAY>",
       "<ADR><HOME/><PREF/><POBOX>1</POBOX><EXTADD>2</EXTADD><STREET>3</STREET><LOCALITY>4</LOCALITY><REGION>5</REGION>"
       "<PCODE>6</PCODE><CTRY>7</CTRY></ADR>", "<LABEL><WORK/><LINE>one</LINE><LINE>two</LINE></LABEL>",
       "<TEL><CELL/><NUMBER>123</NUMBER></TEL>", "<EMAIL><INTERNET/><USERID>a@example.org</USERID></EMAIL>",
       "<JABBERID>a@localhost</JABBERID><MAILER>m</MAILER><TZ>+01</TZ><GEO><LAT>1.5</LAT><LON>2.5</LON></GEO>",
       "<LOGO><EXTVAL>l</EXTVAL></LOGO>", "<AGENT><vCard><FN>Agent</FN><N><FAMILY>Smith</FAMILY></N></vCard></AGENT>",
       "<ORG><ORGNAME>o</ORGNAME><ORGUNIT>u1</ORGUNIT><ORGUNIT>u2</ORGUNIT></ORG>",
       "<CATEGORIES><KEYWORD>k1</KEYWORD><KEYWORD>k2</KEYWORD></CATEGORIES>", "<SORT-STRING>s</SORT-STRING>",
       "<SOUND><PHONETIC>ann</PHONETIC></SOUND>", "<CLASS><PRIVATE/></CLASS>", "<KEY><TYPE>x509</TYPE><CRED>c</CRED></KEY>"]
CARD = "<vCard xmlns='vcard-temp'/>"


def test_a_vcard_of_the_api_is_the_one_of_clients(ask, person, login):
    jid, other = person(), person()
    assert ask.mutation("vcard", "setVcard", VCARD, user=jid, vcard=INPUT) == INPUT
    xml = client_of(login, other).iq("get", CARD, to=jid)
    for part in XML:
        assert part in xml.replace("></HOME>", "/>"), part
    assert ask.query("vcard", "getVcard", VCARD, user=jid) == INPUT


def test_a_vcard_of_a_client_is_the_one_of_the_api(ask, person, login):
    jid = person()
    card = CARD.replace("/>", ">" + "".join(XML) + "<X-OTHER>1</X-OTHER></vCard>")
    assert "type='result'" in client_of(login, jid).iq("set", card)
    seen = ask.query("vcard", "getVcard", VCARD, user=jid)
    for name in ("formattedName", "nameComponents", "nickname", "photo", "address", "label", "telephone", "email", "agent" and "org",
                 "categories", "class", "key"):
        assert seen[name] == INPUT[name], name
    assert seen["agent"] == INPUT["agent"][:1] and seen["sound"] == INPUT["sound"][:1] and seen["note"] == []


def test_a_user_writes_the_own_vcard_and_reads_others(ask, node, person, login):
    a, b = person(), person()
    card = {"formattedName": "Me", "nameComponents": {}}
    assert as_user(node, a).mutation("vcard", "setVcard", "formattedName", vcard=card) == {"formattedName": "Me"}
    assert "<FN>Me</FN>" in client_of(login, b).iq("get", CARD, to=a)
    assert as_user(node, a).query("vcard", "getVcard", "formattedName") == {"formattedName": "Me"}
    assert as_user(node, b).query("vcard", "getVcard", "formattedName", user=a) == {"formattedName": "Me"}
    as_user(node, b).ask("mutation", "vcard", "setVcard", "formattedName", user=a, vcard={**card, "formattedName": "You"})
    assert ask.query("vcard", "getVcard", "formattedName", user=a) == {"formattedName": "Me"}


def test_a_new_picture_is_in_the_presence_of_the_user(ask, person, login):
    jid = person()
    client = client_of(login, jid)
    ask.mutation("vcard", "setVcard", "uid", user=jid, vcard={"formattedName": "", "nameComponents": {}, "photo": INPUT["photo"][:1]})
    client.presence()
    assert "<photo>a9993e364706816aba3e25717850c26c9cd0d89d</photo>" in client.stanza(f"^<presence[^>]*from='{client.jid}'")


def test_vcards_that_are_not_there_or_too_large(ask, person):
    jid = person()
    assert ask.fails("vcard", "getVcard", "uid", kind="query", user=jid) == "vcard_not_found"
    assert ask.fails("vcard", "getVcard", "uid", kind="query", user="nobody@localhost") == "user_not_found"
    large = {"formattedName": "x" * 5000, "nameComponents": {}}
    assert ask.fails("vcard", "setVcard", "uid", user="nobody@localhost", vcard=large) == "user_not_found"
    assert ask.fails("vcard", "setVcard", "uid", user=jid, vcard=large) == "policy_violation"


# -- private

A = "<a xmlns='test:a'><b>kept &amp; more</b></a>"


def test_a_private_element_is_the_one_of_clients(ask, person, login):
    jid = person()
    client = client_of(login, jid)
    def get():
        return client.iq("get", "<query xmlns='jabber:iq:private'><a xmlns='test:a'/></query>")
    assert ask.mutation("private", "setPrivate", user=jid, elementString=A) == A
    assert A in get()
    client.iq("set", "<query xmlns='jabber:iq:private'><a xmlns='test:a'>other</a></query>")
    assert ask.query("private", "getPrivate", user=jid, element="a", nameSpace="test:a") == "<a xmlns='test:a'>other</a>"
    assert ask.query("private", "getPrivate", user=jid, element="b", nameSpace="test:b'<") == "<b xmlns='test:b&apos;&lt;'/>"
    assert ask.query("private", "getPrivate", user=jid, element="b c", nameSpace="test:b") is None


def test_a_user_has_the_own_private_elements(node, person):
    a, b = person(), person()
    assert as_user(node, a).mutation("private", "setPrivate", elementString=A) == A
    assert as_user(node, a).query("private", "getPrivate", element="a", nameSpace="test:a") == A
    assert as_user(node, b).query("private", "getPrivate", element="a", nameSpace="test:a") == "<a xmlns='test:a'/>"
    assert "kept" not in as_user(node, b).ask("query", "private", "getPrivate", user=a, element="a", nameSpace="test:a").text


def test_private_elements_have_the_limits_of_clients(ask, person):
    jid = person()
    def code(element, user=jid):
        return ask.fails("private", "setPrivate", user=user, elementString=element)
    assert code(f"<a xmlns='test:a'>{'x' * 1000}</a>") == "policy_violation"
    assert code("<a/>") == code("<a xmlns='jabber:iq:private'/>") == "not_acceptable"
    for i in range(2):
        ask.mutation("private", "setPrivate", user=jid, elementString=f"<a xmlns='test:{i}'/>")
    assert code("<a xmlns='test:2'/>") == "policy_violation"
    assert code("<a xmlns='test:a'/>", "nobody@localhost") == "not_found"


# -- last

def seconds_of(client, jid):
    return int(re.search(r"seconds='(\d+)'", client.iq("get", "<query xmlns='jabber:iq:last'/>", to=jid)).group(1))


def test_who_was_here_last(ask, person, login):
    jid = person()
    client = client_of(login, jid)
    client.presence().send("<presence type='unavailable'><status>gone</status></presence>")
    client.sync()
    last = support.wait_for(lambda: "errors" not in (a := ask.ask("query", "last", "getLast", "user timestamp status", user=jid)).json
                            and a.data["last"]["getLast"], "the row")
    assert last["user"] == jid and last["status"] == "gone"
    assert abs(time.time() - time.mktime(time.strptime(last["timestamp"][:19] + "GMT", "%Y-%m-%dT%H:%M:%S%Z")) + time.timezone) < 600


def test_last_activity_is_set(ask, person, login):
    jid = person()
    assert ask.mutation("last", "setLast", "user timestamp status", user=jid, timestamp="2020-01-02T04:04:05+01:00", status="long ago") == {
        "user": jid, "timestamp": "2020-01-02T03:04:05.000000Z", "status": "long ago"}
    client = client_of(login, jid)
    assert seconds_of(client, jid) > 150_000_000
    ask.mutation("last", "setLast", "user", user=jid, status="now")
    assert seconds_of(client, jid) < 600


def test_last_activity_that_is_not_there(ask, person):
    jid = person()
    assert ask.fails("last", "getLast", "user", kind="query", user=jid) == "last_not_found"
    assert ask.fails("last", "getLast", "user", kind="query", user="nobody@localhost") == "user_does_not_exist"
    assert ask.fails("last", "setLast", "user", user="nobody@localhost", status="") == "user_does_not_exist"
    assert ask.fails("last", "setLast", "user", user=jid, status="", timestamp="2100-01-01T00:00:00Z") == "bad_timestamp"
    assert ask.fails("last", "countActiveUsers", kind="query", domain="nowhere.example") == "domain_not_found"
    assert ask.fails("last", "listOldUsers", "jid", kind="query", domain="nowhere.example",
                     timestamp="2020-01-01T00:00:00Z") == "domain_not_found"


def test_users_see_of_each_other_what_presence_allows(node, ask, person):
    a, b = person(), person()
    assert as_user(node, a).mutation("last", "setLast", "user status", status="mine") == {"user": a, "status": "mine"}
    assert as_user(node, a).query("last", "getLast", "status") == {"status": "mine"}
    assert as_user(node, b).fails("last", "getLast", "status", kind="query", user=a) == "no_permissions"
    ask.mutation("roster", "setMutualSubscription", userA=a, userB=b, action=Enum("CONNECT"))
    support.wait_for(lambda: ask.query("roster", "getContact", "subscription", user=a, contact=b) == {"subscription": "BOTH"}, "both")
    assert as_user(node, b).query("last", "getLast", "status", user=a) == {"status": "mine"}


def test_old_users_are_listed_and_removed(ask, person, login, node):
    users = {name: person(name, "old.example") for name in ("gone", "here", "never", "recent")}
    for name, when in (("gone", "2020-01-01T00:00:00Z"), ("here", "2020-01-01T00:00:00Z"), ("recent", "2024-01-01T00:00:00Z")):
        ask.mutation("last", "setLast", "user", user=users[name], timestamp=when, status="")
    here = client_of(login, users["here"])
    until = {"domain": "old.example", "timestamp": "2022-01-01T00:00:00Z"}
    old = [{"jid": users["gone"], "timestamp": "2020-01-01T00:00:00.000000Z"}, {"jid": users["never"], "timestamp": None}]
    assert ask.query("last", "countActiveUsers", **until) == 1
    assert ask.query("last", "listOldUsers", "jid timestamp", **until) == old
    assert ask.mutation("last", "removeOldUsers", "jid timestamp", **until) == old
    assert ask.query("account", "listUsers", domain="old.example") == [users["here"], users["recent"]]
    assert ask.query("last", "listOldUsers", "jid", **until) == []
    here.sync()
    with pytest.raises(AssertionError):
        node.client("gone", host="old.example")


def test_many_old_users_are_removed_in_parts(ask, person):
    for _ in range(5):
        person(domain="other.example")
    until = {"domain": "other.example", "timestamp": "2022-01-01T00:00:00Z"}
    assert ask.fails("last", "listOldUsers", "jid", kind="query", **until) == "too_many_items"
    assert len(ask.mutation("last", "removeOldUsers", "jid", **until)) == 3
    assert len(ask.query("last", "listOldUsers", "jid", **until)) == 2
    assert len(ask.mutation("last", "removeOldUsers", "jid", **until)) == 2
    assert ask.query("account", "countUsers", domain="other.example") == 0


# -- offline

def test_messages_that_wait_are_removed(ask, person, login, node):
    a, b, elsewhere = person(), person(), person(domain="other.example")
    for to in (b, b, elsewhere):
        ask.mutation("stanza", "sendMessage", "id", from_=a, to=to, body="waits")
    with node.db() as db:
        support.wait_for(lambda: db.execute("SELECT count(*) FROM offline_message").fetchone()[0] == 3, "three messages")
        day = 86_400_000_000
        now = int(time.time() * 1e6)
        (first, second) = [r[0] for r in db.execute("SELECT id FROM offline_message WHERE server = 'localhost' ORDER BY id").fetchall()]
        db.execute("UPDATE offline_message SET expire = ? WHERE id = ?", (now - day, first))
        db.execute("UPDATE offline_message SET timestamp = ? WHERE id = ?", (now - 3 * day, second))
        db.execute("UPDATE offline_message SET timestamp = ? WHERE server = 'other.example'", (now - 3 * day,))
    assert ask.mutation("offline", "deleteExpiredMessages", domain="localhost") == "Removed 1 messages"
    assert ask.mutation("offline", "deleteOldMessages", domain="localhost", days=4) == "Removed 0 messages"
    assert ask.mutation("offline", "deleteOldMessages", domain="localhost", days=2) == "Removed 1 messages"
    client = client_of(login, b)
    client.presence().stanza("^<presence")
    client.nothing("<message")
    assert "waits" in client_of(login, elsewhere).presence().stanza("^<message")
    for name, more in (("deleteExpiredMessages", {}), ("deleteOldMessages", {"days": 1})):
        assert ask.fails("offline", name, domain="nowhere.example", **more) == "domain_not_found"
