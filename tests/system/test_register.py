# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""In-band registration (XEP-0077)."""
import re

import pytest

from support import wait_for

from test_roster import put, refused, roster

CONFIG = """
[meerkat]
state_dir = {dir}/state
control = {dir}/control.sock
[module:c2s]
listen = 127.0.0.1:0
[module:sasl]
[module:rdbms]
[module:rdbms_sqlite]
busy_timeout = 300ms
[module:auth_rdbms]
iterations = 4096
[module:roster]
[module:presence]
[module:private]
[module:offline]
[module:last]
[module:vcard]
[module:blocking]
[module:sm]
[module:register]
enabled = yes
rate = 0
"""
NS = "jabber:iq:register"


def query(user=None, password=None, more=""):
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in
                     (("username", user), ("password", password)) if value is not None)
    return f"<query xmlns='{NS}'>{fields}{more}</query>"


def register(node, user, password="secret"):
    with node.client() as client:
        return client.iq("set", query(user, password))


def test_who_registers_can_log_in(node):
    assert "type='result'" in register(node, "Alice")
    assert node.client("alice").bare == "alice@localhost"


def test_registering_and_logging_in_work_on_one_stream(node):
    with node.client() as client:
        assert "http://jabber.org/features/iq-register" in client.features
        form = client.iq("get", query())
        assert "<username/>" in form and "<password/>" in form
        assert "type='result'" in client.iq("set", query("bob", "secret"), to="localhost")
        client.login("bob")


def test_a_name_is_given_once(node):
    register(node, "carol")
    refused(register(node, "carol"), "conflict")
    refused(register(node, "CAROL", "another"), "conflict")


def test_a_name_that_another_backend_knows_is_taken(start_node):
    node = start_node(CONFIG + "[module:auth_memory]\naccounts = old:secret\n")
    refused(register(node, "old"), "conflict")


@pytest.mark.parametrize("user, password, condition", [
    ("a@b", "secret", "not-acceptable"), ("", "secret", "not-acceptable"),
    ("x" * 1024, "secret", "not-acceptable"), ("admin", "secret", "not-acceptable"),
    ("dave", "short", "not-acceptable"), ("dave", None, "bad-request"), (None, "secret", "bad-request"),
])
def test_what_cannot_be_an_account_is_refused(node, user, password, condition):
    with node.client() as client:
        refused(client.iq("set", query(user, password)), condition)


def test_without_permission_nothing_is_offered(start_node):
    node = start_node(CONFIG.replace("enabled = yes", ""))
    with node.client() as client:
        assert "iq-register" not in client.features
        client.send(f"<iq type='set' id='1'>{query('eve', 'secret')}</iq>")
        client.closed("<not-authorized")


def test_an_address_may_register_so_many_accounts_and_no_more(start_node):
    node = start_node(CONFIG.replace("rate = 0", "rate = 2"))
    assert "type='result'" in register(node, "one") and "type='result'" in register(node, "two")
    refused(register(node, "three"), "resource-constraint")
    # What is refused for another reason says so and is not counted.
    refused(register(node, "admin"), "not-acceptable")


def test_a_password_is_changed_by_its_owner_alone(node):
    register(node, "frank")
    frank = node.client("frank")
    answer = frank.iq("get", query(), to="localhost")
    assert "<registered/>" in answer and "<username>frank</username>" in answer
    refused(frank.iq("set", query("carol", "changed"), to="localhost"), "not-allowed")
    refused(frank.iq("set", query("frank", "new"), to="localhost"), "not-acceptable")
    refused(frank.iq("set", query("frank"), to="localhost"), "bad-request")
    assert "type='result'" in frank.iq("set", query("frank", "changed"), to="localhost")
    frank.drop()
    with pytest.raises(AssertionError):
        node.client("frank", "secret")
    node.client("frank", "changed").drop()


def test_an_account_may_change_its_password_so_many_times_and_no_more(start_node):
    node = start_node(CONFIG.replace("rate = 0", "rate = 0\nchanges = 2"))
    for user in "one", "two":
        register(node, user)
    one, two = node.client("one"), node.client("two")
    # What is refused for another reason is not counted.
    refused(one.iq("set", query("one", "new"), to="localhost"), "not-acceptable")
    for password in "first1", "second":
        assert "type='result'" in one.iq("set", query("one", password), to="localhost")
    answer = one.iq("set", query("one", "third3"), to="localhost")
    refused(answer, "resource-constraint")
    assert "type='wait'" in answer
    assert "type='result'" in two.iq("set", query("two", "first1"), to="localhost")
    one.drop()
    two.drop()
    node.client("one", "second").drop()


def test_a_removed_account_is_gone_with_all_its_data(node):
    register(node, "grace")
    grace = node.client("grace")
    put(grace, "friend@example.org", groups=["g"])
    grace.iq("set", "<query xmlns='jabber:iq:private'><x xmlns='y'/></query>")
    refused(grace.iq("set", query("grace", None, "<remove/>")), "bad-request")
    db = node.db()
    tables = ("users", "rosterusers", "rostergroups", "private_storage")

    def rows(table):
        return db.execute(f"SELECT count(*) FROM {table} WHERE username = 'grace'").fetchone()[0]

    assert [rows(table) for table in tables] == [1, 1, 1, 1]
    grace.send(f"<iq type='set' id='r'>{query(more='<remove/>')}</iq>")
    text = grace.closed("<not-authorized")
    assert "id='r'" in text and "type='result'" in text
    assert [rows(table) for table in tables] == [0, 0, 0, 0]
    with pytest.raises(AssertionError):
        node.client("grace")
    assert "type='result'" in register(node, "grace")
    again = node.client("grace")
    assert "friend" not in roster(again)
    again.drop()


# -- what a removed account leaves behind: nothing

def tables_of_users(db, pgsql):
    """Every table with a column `username`, whichever module made it."""
    if pgsql:
        rows = db.rows(db.execute("SELECT table_name FROM information_schema.columns WHERE column_name = 'username' "
                                  "AND table_schema = 'public'"))
    else:
        rows = db.rows(db.execute("SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c "
                                  "WHERE m.type = 'table' AND c.name = 'username'"))
    return sorted(row[0] for row in rows)


def rows_of(node, user):
    with node.db() as db:
        return {table: db.rows(db.execute(f"SELECT count(*) FROM {table} WHERE username = ?", (user,)))[0][0]
                for table in tables_of_users(db, bool(node.database))}


def remove(client):
    client.send(f"<iq type='set' id='r'>{query(more='<remove/>')}</iq>")
    return client.closed("<iq[^>]*id='r'.*<not-authorized")


def use_everything(node, user):
    """Leaves a row in every table there is for users."""
    register(node, user)
    friend = node.client("alice")
    c = node.client(user).presence()
    put(c, "listed@example.org", groups=["g"])
    c.send(f"<presence type='subscribed' to='approved@example.org'/>")
    friend.presence(type_="subscribe", to=f"{user}@localhost")
    c.stanza("^<presence[^>]*type='subscribe'")
    for what in ("<query xmlns='jabber:iq:private'><x xmlns='y'/></query>",
                 "<vCard xmlns='vcard-temp'><FN>F</FN></vCard>",
                 "<block xmlns='urn:xmpp:blocking'><item jid='blocked@example.org'/></block>"):
        assert "type='result'" in c.iq("set", what)
    c.close()
    with node.db() as db:
        # A table of MongooseIM's that we do not use, but that a database taken over has filled.
        db.execute("INSERT INTO roster_version (server, username, version) VALUES ('localhost', ?, '1')", (user,))
    friend.message(f"{user}@localhost", "waits")
    wait_for(lambda: all(rows_of(node, user).values()), f"rows in all of {rows_of(node, user)}")
    friend.drop()


def test_no_table_has_a_row_of_a_removed_account(node):
    register(node, "alice")
    for user in "heidi", "ivan":
        use_everything(node, user)
    others = rows_of(node, "ivan")
    assert len(others) >= 12
    # Available, and with more than one session: their ends write nothing either.
    c, other = node.client("heidi"), node.client("heidi", resource="other").presence()
    c.send("<iq type='get' id='first'><query xmlns='http://jabber.org/protocol/disco#info' "
           "node='http://jabber.org/protocol/offline'/></iq>")
    c.presence("<show>away</show>")
    other.sync()
    remove(c)
    other.closed("<not-authorized")
    wait_for(lambda: node.metric("c2s_streams") == 0, "the end of all sessions")
    # What was on its way to the database is there now: another request went the same way.
    ivan = node.client("ivan").presence()
    ivan.sync()
    ivan.close()
    assert not any(rows_of(node, "heidi").values()), rows_of(node, "heidi")
    assert {t: n for t, n in rows_of(node, "ivan").items() if t != "offline_message"} == \
        {t: n for t, n in others.items() if t != "offline_message"}


def befriend(a, b):
    roster(a), roster(b)
    a.presence(type_="subscribe", to=b.bare)
    b.stanza("^<presence[^>]*type='subscribe'")
    b.presence(type_="subscribed", to=a.bare).presence(type_="subscribe", to=a.bare)
    a.stanza("^<presence[^>]*type='subscribed'")
    a.stanza("^<presence[^>]*type='subscribe'")
    a.presence(type_="subscribed", to=b.bare)
    b.stanza("^<presence[^>]*type='subscribed'")


def subscription(client, jid):
    match = re.search(f"<item [^>]*jid='{jid}'[^>]*>", roster(client))
    return match and re.search("subscription='([^']*)'", match.group(0)).group(1)


@pytest.mark.parametrize("asks_for_its_roster", [True, False])
def test_contacts_are_told_that_an_account_was_removed(start_node, asks_for_its_roster):
    node = start_node(CONFIG)
    for user in "leaves", "friend", "absent", "asked":
        register(node, user)
    leaves, friend, absent, asked = (node.client(u).presence() for u in ("leaves", "friend", "absent", "asked"))
    for client in friend, absent, asked:
        roster(client)
    befriend(leaves, friend)
    befriend(leaves, absent)
    asked.presence(type_="subscribe", to="leaves@localhost")
    leaves.stanza("^<presence[^>]*type='subscribe'")
    absent.close()
    leaves.close()
    leaves = node.client("leaves")
    if asks_for_its_roster:
        roster(leaves)
    leaves.presence()
    friend.stanza(f"^<presence from='{leaves.jid}'")
    asked.sync(), friend.sync()
    remove(leaves)
    # RFC 6121 §3.2, §3.3: it is gone, sees nothing any more, and is not to be seen.
    left = {"unavailable", "unsubscribe", "unsubscribed", "none"}
    while left:
        text = friend.stanza("^<presence[^>]*from='leaves@localhost|^<iq[^>]*type='set'.*leaves@localhost")
        left -= set(re.findall("(?:type|subscription)='([a-z]*)'", text))
    assert subscription(friend, "leaves@localhost") == "none"
    asked.stanza("^<presence[^>]*from='leaves@localhost'[^>]*type='unsubscribed'|"
                 "^<presence[^>]*type='unsubscribed'[^>]*from='leaves@localhost'")
    # Who was not there finds it so, and is not asked by the next one who has the name.
    # Every contact's roster changes by itself: one may have been told before the other's row is written.
    absent = node.client("absent").presence()
    wait_for(lambda: subscription(absent, "leaves@localhost") == "none", "the contact who was not there to find it so")
    register(node, "leaves")
    again = node.client("leaves").presence()
    assert "<item" not in roster(again)
    # Its sessions may end a little later than it.
    friend.nothing("<presence(?![^>]*from='leaves@localhost/test'[^>]*type='unavailable')")
    again.nothing("<presence[^>]*from='(?!leaves@localhost)")
    for client in friend, absent, asked, again:
        client.drop()


def test_nobody_is_told_of_a_removal_that_failed(node):
    for user in "stays", "mate":
        register(node, user)
    stays, mate = node.client("stays").presence(), node.client("mate").presence()
    befriend(stays, mate)
    mate.stanza(f"^<presence from='{stays.jid}'")
    mate.sync()
    db = node.db()
    db.lock("rosterusers")
    refused(stays.iq("set", query(more="<remove/>")), "resource-constraint")
    db.unlock()
    db.close()
    mate.nothing("<presence")
    assert subscription(mate, "stays@localhost") == "both" and subscription(stays, "mate@localhost") == "both"
    stays.presence("<show>away</show>")
    assert "<show>away" in mate.stanza("^<presence")
    stays.drop()
    mate.drop()
