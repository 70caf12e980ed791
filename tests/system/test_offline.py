# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Offline messages: XEP-0160, XEP-0203, XEP-0334, XEP-0013."""
import re
import threading
import time

import pytest

from support import wait_for

HOSTS = "localhost, small.example"
CONFIG = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[rdbms_sqlite]
busy_timeout = 300ms
[roster]
[presence]
[auth_memory]
accounts = alice:secret, bob:secret, carol:secret, dave:secret
[offline]
max_messages = 5000
sweep = 100ms
page_size = 10
[offline@small.example]
max_messages = 3
max_age = 100ms
"""
HINTS = "urn:xmpp:hints"
CHATSTATES = "http://jabber.org/protocol/chatstates"
NS = "http://jabber.org/protocol/offline"
INFO = f"<query xmlns='http://jabber.org/protocol/disco#info' node='{NS}'/>"
ITEMS = f"<query xmlns='http://jabber.org/protocol/disco#items' node='{NS}'/>"


class Table:
    """What is committed, read by another process while the node runs."""

    def __init__(self, node):
        self.node = node

    def run(self, sql, *values):
        with self.node.db() as db:
            cursor = db.execute(sql, values)
            return db.rows(cursor)

    def keep_forever(self):
        """New rows do not expire, whatever the server wants."""
        if not self.node.database:
            self.run("CREATE TRIGGER forever AFTER INSERT ON offline_message BEGIN "
                     "UPDATE offline_message SET expire = NULL WHERE id = new.id; END")
            return
        self.run("CREATE FUNCTION forever() RETURNS trigger LANGUAGE plpgsql AS "
                 "'BEGIN NEW.expire := NULL; RETURN NEW; END'")
        self.run("CREATE TRIGGER forever BEFORE INSERT ON offline_message FOR EACH ROW "
                 "EXECUTE FUNCTION forever()")

    def expire_again(self):
        self.run("DROP TRIGGER forever" + (" ON offline_message" if self.node.database else ""))

    def rows(self, user="bob", server="localhost", columns="packet"):
        return self.run(f"SELECT {columns} FROM offline_message WHERE username = ? AND server = ? "
                        "ORDER BY timestamp, id", user, server)

    def wait(self, count, user="bob", server="localhost"):
        wait_for(lambda: len(self.rows(user, server)) == count, f"{count} rows")


@pytest.fixture
def table(node):
    table = Table(node)
    table.run("DELETE FROM offline_message")
    return table


@pytest.fixture
def alice(login):
    return login("alice")


def online(login, user="bob", inner="", **more):
    return login(user, **more).presence(inner)


def bodies(client, count, more=""):
    """The next `count` messages, with pings answered on the way; their bodies in order."""
    found = []
    while len(found) < count:
        text = client.stanza(r"^<(message|iq)\b")
        if ping := re.match(r"<iq[^>]*type='get'", text):
            id_ = re.search(r"\bid='([^']*)'", text).group(1)
            client.send(f"<iq type='result' id='{id_}' to='{client.host}'/>")
        elif not ping and "<message" in text and more in text:
            found.append(re.search("<body>(.*?)</body>", text).group(1))
    return found


# -- what is stored and how it arrives

def test_a_message_waits_and_says_since_when(alice, table, login):
    before = time.time()
    alice.message("bob@localhost", "hello", more="<thread>t</thread>")
    table.wait(1)
    alice.nothing()
    message = online(login).stanza("^<message")
    assert "<body>hello</body><thread>t</thread>" in message
    assert f"from='{alice.jid}'" in message and "to='bob@localhost'" in message and "type='chat'" in message
    stamp = re.search("<delay xmlns='urn:xmpp:delay' from='localhost' stamp='([^']*)Z'/>", message).group(1)
    assert time.strftime("%Y-%m-%dT%H:%M", time.gmtime(before)) <= stamp[:16]
    table.wait(0)


@pytest.mark.parametrize("attributes, inner", [
    ("type='chat'", "<body>x</body>"),
    ("type='normal'", "<body>x</body>"),
    ("", "<body>x</body>"),
    ("type='strange'", "<body>x</body>"),
    ("", "<subject>x</subject>"),
    ("", "<x xmlns='jabber:x:conference' jid='room@muc.example'/>"),
    ("type='chat'", "<received xmlns='urn:xmpp:receipts' id='1'/>"),
    ("type='chat'", f"<composing xmlns='{CHATSTATES}'/><store xmlns='{HINTS}'/>"),
    ("type='chat'", f"<body>x</body><no-permanent-store xmlns='{HINTS}'/>"),
    ("type='chat'", f"<body>x</body><active xmlns='{CHATSTATES}'/>"),
])
@pytest.mark.parametrize("to", ["bob@localhost", "bob@localhost/gone"])
def test_stored(alice, table, attributes, inner, to):
    if to.endswith("/gone") and attributes != "type='chat'":
        to = "bob@localhost"     # RFC 6121 8.5.3.2.1: only chat goes on to the account
    alice.send(f"<message to='{to}' {attributes} id='s'>{inner}</message>")
    table.wait(1)
    assert inner in table.rows()[0][0]
    alice.nothing()


@pytest.mark.parametrize("attributes, inner, condition", [
    ("type='chat'", f"<composing xmlns='{CHATSTATES}'/>", None),
    ("type='chat'", f"<gone xmlns='{CHATSTATES}'/><thread>t</thread><no-store xmlns='{HINTS}'/>", None),
    ("type='chat'", "", None),
    ("type='headline'", "<body>x</body>", None),
    ("type='error'", "<body>x</body>", None),
    ("type='chat'", f"<body>x</body><no-store xmlns='{HINTS}'/>", "service-unavailable"),
    ("type='groupchat'", "<body>x</body>", "service-unavailable"),
])
def test_not_stored(alice, table, attributes, inner, condition):
    alice.send(f"<message to='bob@localhost' {attributes} id='s'>{inner}</message>")
    if condition:
        assert f"<{condition}" in alice.stanza("^<message[^>]*type='error'")
    alice.nothing()
    alice.message("bob@localhost", "marker")
    table.wait(1)


def test_an_account_that_does_not_exist_stores_nothing(alice, table):
    for _ in range(2):
        alice.message("nobody@localhost", "x")
        assert "<service-unavailable" in alice.stanza("^<message[^>]*type='error'")
    assert not table.rows("nobody")


def test_negative_priority_gets_nothing_until_it_is_raised(alice, table, login):
    alice.message("bob@localhost", "wait")
    table.wait(1)
    bob = online(login, inner="<priority>-1</priority>")
    bob.nothing("<message")
    bob.presence("<show>away</show><priority>-5</priority>")
    bob.nothing("<message")
    bob.presence("<priority>0</priority>")
    assert bodies(bob, 1) == ["wait"]
    table.wait(0)


def test_presence_said_again_delivers_nothing_twice(alice, table, login):
    alice.message("bob@localhost", "once")
    table.wait(1)
    bob = online(login)
    assert bodies(bob, 1) == ["once"]
    bob.presence("<show>dnd</show>")
    bob.presence(type_="unavailable").presence()
    bob.nothing("<message")


def test_a_backlog_of_many_pages_arrives_in_order(alice, table, login):
    want = [f"m{i}" for i in range(205)]
    for body in want:
        alice.message("bob@localhost", body)
    table.wait(len(want))
    bob = online(login)
    assert bodies(bob, len(want)) == want
    table.wait(0)
    bob.nothing("<message")


def test_two_resources_at_once_get_each_message_once(alice, table, login):
    want = [f"m{i}" for i in range(100)]
    for body in want:
        alice.message("bob@localhost", body)
    table.wait(len(want))
    clients = [login("bob", resource=f"r{i}") for i in range(3)]
    for client in clients:
        client.send("<presence/>")
    table.wait(0)
    got = []
    for client in clients:
        got += re.findall("<body>(.*?)</body>", client.sync())
    assert sorted(got) == sorted(want)


def test_messages_sent_while_the_user_comes_online_are_neither_lost_nor_doubled(alice, table, login):
    for turn in range(20):
        want = {f"{turn}.{i}" for i in range(20)}
        bob = login("bob", resource=f"t{turn}")

        def send():
            for body in sorted(want):
                alice.message("bob@localhost", body)

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(turn % 5 * 0.001)    # another moment each time: nothing waits for it
        bob.presence()
        got = bodies(bob, len(want))
        sender.join()
        assert set(got) == want
        table.wait(0)
        bob.nothing("<message")
        bob.close()
    alice.nothing()


def test_a_stamp_of_ours_is_kept_and_not_added_to(alice, table, login):
    ours = "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2020-02-03T04:05:06.000007Z'/>"
    theirs = "<delay xmlns='urn:xmpp:delay' from='other.example' stamp='2019-02-03T04:05:06Z'/>"
    alice.message("bob@localhost", "new")
    alice.message("bob@localhost", "again", more=ours)
    alice.message("bob@localhost", "elsewhere", more=theirs)
    table.wait(3)
    assert table.rows(columns="timestamp")[0] == (1580702706000007,)
    bob = online(login)
    again, new, elsewhere = (bob.stanza("^<message") for _ in range(3))
    assert "again" in again and again.count("<delay") == 1 and ours in again
    assert "new" in new
    assert "elsewhere" in elsewhere and elsewhere.count("<delay") == 2 and theirs in elsewhere


# -- limits and age

def test_quota(login, table):
    alice = login("alice", host="small.example")
    # The age limit of this host must not come in between.
    table.keep_forever()
    for i in range(3):
        alice.message("bob@small.example", str(i))
    table.wait(3, server="small.example")
    alice.nothing()
    alice.message("bob@small.example", "too much")
    assert "<service-unavailable" in alice.stanza("^<message[^>]*type='error'")
    alice.message("carol@small.example", "fits")
    table.wait(1, "carol", "small.example")
    table.expire_again()
    assert bodies(online(login, host="small.example"), 3) == ["0", "1", "2"]


def test_what_is_too_old_goes_by_itself(login, table):
    login("alice", host="small.example").message("dave@small.example", "old")
    table.wait(1, "dave", "small.example")
    table.wait(0, "dave", "small.example")


def test_what_is_too_old_is_not_delivered(alice, table, login):
    alice.message("bob@localhost", "old", more="<x xmlns='jabber:x:expire' seconds='0'/>")
    alice.message("bob@localhost", "young", more="<x xmlns='jabber:x:expire' seconds='600'/>")
    wait_for(lambda: "young" in str(table.rows()), "the second message")
    since, expire = table.run("SELECT timestamp, expire FROM offline_message WHERE packet LIKE '%young%'")[0]
    assert expire - since == 600_000_000
    bob = online(login)
    assert bodies(bob, 1) == ["young"]
    bob.nothing("<message")
    table.wait(0)


# -- the database

def test_a_message_that_cannot_be_stored_comes_back(node, alice, table):
    alice.message("bob@localhost", "before")
    table.wait(1)
    db = node.db()
    db.lock("offline_message")
    alice.message("bob@localhost", "lost")
    error = alice.stanza("^<message[^>]*type='error'")
    assert "<body>lost</body>" not in error and re.search("<error type='wait'><resource-constraint", error)
    db.unlock()
    db.close()
    alice.message("bob@localhost", "after")
    table.wait(2)
    assert "lost" not in str(table.rows())


def test_nothing_is_delivered_twice_while_rows_cannot_be_removed(node, alice, table, login):
    alice.message("bob@localhost", "once")
    table.wait(1)
    db = node.db()
    db.lock("offline_message")
    bob = online(login)
    assert bodies(bob, 1) == ["once"]
    other = online(login, resource="other")
    other.nothing("<message")
    db.unlock()
    db.close()
    table.wait(0)
    bob.nothing("<message")
    other.nothing("<message")


def test_rows_of_mongooseim_are_delivered(table, login):
    # 83 6A: the empty list in Erlang's external term format
    table.run("INSERT INTO offline_message (timestamp, expire, server, username, from_jid, packet, "
              "permanent_fields) VALUES (1580702706000007, NULL, 'localhost', 'bob', 'x@other.example/y', "
              "'<message type=\"chat\" xml:lang=\"en\"><body>theirs</body></message>', ?)", b"\x83\x6a")
    message = online(login).stanza("^<message")
    assert "from='x@other.example/y'" in message and "to='bob@localhost'" in message
    assert "<body>theirs</body><delay xmlns='urn:xmpp:delay' from='localhost' " \
        "stamp='2020-02-03T04:05:06.000007Z'/>" in message
    table.wait(0)


def test_a_row_that_is_no_message_stays_and_blocks_nobody(node, alice, table, login):
    for i in range(12):
        table.run("INSERT INTO offline_message (timestamp, server, username, from_jid, packet) "
                  "VALUES (?, 'localhost', 'bob', 'a@b', '<mess')", i)
    alice.message("bob@localhost", "good")
    table.wait(13)
    assert bodies(online(login), 1) == ["good"]
    table.wait(12)
    node.wait_log("offline.row")


def test_a_long_sender_is_kept_whole(table, login):
    alice = login("alice", resource="r" * 1000)
    alice.message("bob@localhost", "long")
    table.wait(1)
    assert table.rows(columns="length(from_jid)") == [(250,)]
    assert f"from='{alice.jid}'" in online(login).stanza("^<message")


# -- a client that reads slowly, a node that is killed

ALONE = CONFIG.split("[offline@")[0]
SLOW = ALONE.replace("[offline]", "[offline]\nwindow = 20000\nping_timeout = 300ms")


def fill(node, count, body, user="bob"):
    sender = node.client("alice")
    for i in range(count):
        sender.message(f"{user}@localhost", body.format(i))
    table = Table(node)
    table.wait(count, user)
    sender.drop()
    return table


def test_a_client_that_does_not_answer_pings_leaves_the_rest_stored(start_node):
    node = start_node(SLOW)
    table = fill(node, 60, "{}:" + "x" * 1000)
    deaf = node.client("bob").presence()
    deaf.stanza(r"^<iq[^>]*type='get'.*urn:xmpp:ping")
    left = wait_for(lambda: 20 < len(table.rows()) < 60 and len(table.rows()), "rows that went")
    deaf.nothing("<message")
    assert len(table.rows()) == left
    deaf.drop()
    bob = node.client("bob", resource="hearing").presence()
    got = bodies(bob, left)
    assert [int(body.split(":")[0]) for body in got] == list(range(60 - left, 60))
    table.wait(0)
    bob.drop()


def test_what_was_committed_survives_kill_9_and_arrives_once(start_node, tmp_path):
    node = start_node(ALONE, folder=tmp_path / "node")
    table = Table(node)
    alice = node.client("alice")
    alice.send("".join(f"<message to='bob@localhost' type='chat' id='m{i}'><body>{i}</body></message>"
                       for i in range(1000)))
    wait_for(lambda: len(table.rows()) > 100, "some rows")
    committed = [int(re.search("<body>(.*?)</body>", row[0]).group(1)) for row in table.rows()]
    node.kill()
    alice.drop()
    stored = len(table.rows())
    node.start()
    bob = node.client("bob").presence()
    got = [int(body) for body in bodies(bob, stored)]
    table.wait(0)
    assert got[:len(committed)] == committed
    assert got == list(range(stored))
    assert "<body>" not in bob.sync()
    bob.drop()


def test_the_module_goes_and_comes_back_with_messages_waiting(start_node):
    node = start_node(ALONE)
    table = fill(node, 25, "{}")
    assert "ok" in node.control("module", "unload", "offline")
    alice = node.client("alice")
    alice.message("bob@localhost", "nobody keeps this")
    assert "<service-unavailable" in alice.stanza("^<message[^>]*type='error'")
    assert "ok" in node.control("module", "load", "offline")
    bob = node.client("bob").presence()
    assert bodies(bob, 25) == [str(i) for i in range(25)]
    table.wait(0)
    alice.drop()
    bob.drop()


# -- XEP-0013

def test_the_server_says_what_it_can(login):
    answer = login("alice").iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to="localhost")
    if "<service-unavailable" in answer:
        pytest.skip("no module answers service discovery here")
    assert f"<feature var='{NS}'/>" in answer and "<feature var='msgoffline'/>" in answer


@pytest.fixture
def picky(alice, table, login):
    """A client that looks before it says that it is there; three messages wait."""
    for i in range(3):
        alice.message("bob@localhost", str(i))
    table.wait(3)
    return login("bob")


def nodes_of(client):
    return re.findall(r"<item\b[^>]*\bnode='([^']*)'", client.iq("get", ITEMS))


def offline(action):
    return f"<offline xmlns='{NS}'>{action}</offline>"


def test_number_of_messages(picky):
    answer = picky.iq("get", INFO)
    assert "<identity category='automation' type='message-list'/>" in answer
    assert f"<feature var='{NS}'/>" in answer
    assert re.search(r"var='number_of_messages'[^>]*><value>3</value>", answer)


def test_who_looked_first_gets_nothing_unasked(picky, table):
    picky.iq("get", INFO)
    picky.presence()
    picky.nothing("<message")
    assert len(table.rows()) == 3


def test_headers_name_the_senders_in_order(picky, alice):
    answer = picky.iq("get", ITEMS)
    assert len(re.findall(f"<item jid='bob@localhost' node='[^']*' name='{alice.jid}'/>", answer)) == 3
    nodes = nodes_of(picky)
    assert nodes == sorted(nodes) and len(set(nodes)) == 3


def test_view_leaves_a_message_where_it_is(picky, table):
    node = nodes_of(picky)[1]
    picky.send(f"<iq type='get' id='v'>{offline(f'<item action=%r node=%r/>' % ('view', node))}</iq>")
    message = picky.stanza("^<message")
    assert "<body>1</body>" in message and "<delay" in message
    assert f"<offline xmlns='{NS}'><item node='{node}'/></offline>" in message
    assert "type='result'" in picky.stanza("^<iq[^>]*id='v'")
    assert len(table.rows()) == 3


def test_remove_takes_the_messages_named(picky, table):
    nodes = nodes_of(picky)
    items = "".join(f"<item action='remove' node='{node}'/>" for node in nodes[:2])
    assert "type='result'" in picky.iq("set", offline(items))
    assert "<body>2</body>" in table.rows()[0][0] and len(table.rows()) == 1
    assert "<item-not-found" in picky.iq("set", offline(items))


def test_fetch_shows_all_and_purge_removes_all(picky, table):
    picky.send(f"<iq type='get' id='f'>{offline('<fetch/>')}</iq>")
    assert bodies(picky, 3, "<item node=") == ["0", "1", "2"]
    assert "type='result'" in picky.stanza("^<iq[^>]*id='f'")
    assert len(table.rows()) == 3
    assert "type='result'" in picky.iq("set", offline("<purge/>"))
    assert not table.rows()


@pytest.mark.parametrize("type_, action, condition", [
    ("get", "", "bad-request"),
    ("set", "", "bad-request"),
    ("get", "<purge/>", "bad-request"),
    ("set", "<fetch/>", "bad-request"),
    ("get", "<item action='remove' node='x'/>", "bad-request"),
    ("get", "<item node='x'/>", "bad-request"),
    ("get", "<item action='view'/>", "item-not-found"),
    ("get", "<item action='view' node='0000000000000001-1'/>", "item-not-found"),
    ("set", "<item action='remove' node='nonsense'/>", "item-not-found"),
    ("get", "<item action='view' node='x'/>" * 101, "bad-request"),
])
def test_errors_of_flexible_retrieval(login, type_, action, condition):
    assert f"<{condition}" in login("carol").iq(type_, offline(action))


def test_nobody_looks_at_other_peoples_messages(login, table):
    for type_, action in (("get", "<fetch/>"), ("set", "<purge/>")):
        answer = login("carol").iq(type_, offline(action), to="bob@localhost")
        assert "type='error'" in answer


def test_messages_of_others_cannot_be_named(picky, table, login):
    node = nodes_of(picky)[0]
    carol = login("carol")
    assert "<item-not-found" in carol.iq("set", offline(f"<item action='remove' node='{node}'/>"))
    assert len(table.rows()) == 3
