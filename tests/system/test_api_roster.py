# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Category roster of the GraphQL API: clients see what it does to their contacts."""
import re

import pytest

import api
import support
from fields import Enum, Fields

HOSTS = "localhost, other.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[roster]
max_items = 5
[presence]
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
[admin]
"""
CONTACT = "jid name groups subscription ask"
ROSTER = "<query xmlns='jabber:iq:roster'/>"


@pytest.fixture
def ask(node):
    return Fields(api.admin(node))


@pytest.fixture
def people(ask, request):
    """people("ab"): new accounts for this test, as bare JIDs."""
    def make(letters):
        jids = []
        for letter in letters:
            jids.append(ask.mutation("account", "registerUser", "jid", domain="localhost", password="secret")["jid"])
        return jids
    return make


@pytest.fixture
def online(login):
    """A client that has the roster and is available."""
    def make(jid):
        client = login(jid.split("@")[0])
        client.iq("get", ROSTER)
        client.presence()
        client.stanza(rf"^<presence[^>]*from='{client.jid}'")
        return client
    return make


def item(jid, **more):
    """A pattern of an item in a push or roster."""
    return f"<item(?=[^>]*jid='{jid}')" + "".join(f"(?=[^>]*{k}='{v}')" for k, v in more.items())


# -- reading and changing

def test_a_contact_is_added_with_a_push(ask, people, online):
    a, b = people("ab")
    client = online(a)
    assert ask.mutation("roster", "addContact", user=a, contact=b, name="Bea <3", groups=["Friends", "Work"]) == \
        "Contact added successfully"
    push = client.stanza("jabber:iq:roster")
    assert re.search(item(b, name="Bea &lt;3", subscription="none"), push) and "<group>Friends</group>" in push
    assert ask.query("roster", "listContacts", CONTACT, user=a) == [
        {"jid": b, "name": "Bea <3", "groups": ["Friends", "Work"], "subscription": "NONE", "ask": "NONE"}]
    assert ask.query("roster", "getContact", "jid name", user=a, contact=b + "/x") == {"jid": b, "name": "Bea <3"}


def test_a_contact_is_changed_by_adding_it_again(ask, people):
    a, b = people("ab")
    ask.mutation("roster", "addContact", user=a, contact=b, name="one", groups=["x"])
    ask.mutation("roster", "addContact", user=a, contact=b)
    assert ask.query("roster", "getContact", "name groups", user=a, contact=b) == {"name": "", "groups": []}


def test_contacts_are_added_and_each_tells_for_itself(ask, people):
    a, b = people("ab")
    contacts = [{"jid": b, "name": "b"}, {"jid": "x@far.example", "name": "x", "groups": ["g", "g"]},
                {"jid": "y@far.example", "name": "y"}]
    answer = ask.ask("mutation", "roster", "addContacts", user=a, contacts=contacts)
    assert answer.json["data"]["roster"]["addContacts"] == ["Contact added successfully", None, "Contact added successfully"]
    (error,) = answer.errors
    assert error["path"] == ["roster", "addContacts", 1] and error["extensions"]["code"] == "invalid_contact"
    assert sorted(c["jid"] for c in ask.query("roster", "listContacts", "jid", user=a)) == sorted([b, "y@far.example"])


def test_a_roster_has_a_limit(ask, people):
    a, = people("a")
    contacts = [{"jid": f"c{i}@far.example", "name": ""} for i in range(6)]
    answer = ask.ask("mutation", "roster", "addContacts", user=a, contacts=contacts)
    assert answer.codes == ["roster_full"] and len(ask.query("roster", "listContacts", "jid", user=a)) == 5


def test_contacts_are_removed(ask, people, online):
    a, b = people("ab")
    client = online(a)
    for jid in (b, "x@far.example", "y@far.example"):
        ask.mutation("roster", "addContact", user=a, contact=jid)
    assert ask.mutation("roster", "deleteContact", user=a, contact=b) == "Contact deleted successfully"
    client.stanza(item(b, subscription="remove"))
    answer = ask.ask("mutation", "roster", "deleteContacts", user=a, contacts=["x@far.example", b, "y@far.example"])
    assert answer.json["data"]["roster"]["deleteContacts"] == ["Contact deleted successfully", None, "Contact deleted successfully"]
    assert answer.codes == ["contact_not_found"]
    assert ask.query("roster", "listContacts", "jid", user=a) == []


def test_users_and_contacts_that_do_not_exist(ask, people):
    a, = people("a")
    assert ask.fails("roster", "getContact", "jid", kind="query", user=a, contact="x@localhost") == "contact_not_found"
    assert ask.fails("roster", "deleteContact", user=a, contact="x@localhost") == "contact_not_found"
    assert ask.fails("roster", "listContacts", "jid", kind="query", user="nobody@localhost") == "user_not_exist"
    assert ask.fails("roster", "addContact", user="nobody@localhost", contact=a) == "user_not_exist"
    assert ask.fails("roster", "addContact", user="x@nowhere.example", contact=a) == "unknown_domain"


# -- subscriptions

def test_a_subscription_is_asked_for_and_given(ask, people, online):
    a, b = people("ab")
    alice, bob = online(a), online(b)
    def act(user, contact, action):
        return ask.mutation("roster", "subscription", user=user, contact=contact, action=Enum(action))
    assert act(a, b, "INVITE") == "Subscription stanza with type subscribe sent successfully"
    assert f"from='{a}'" in bob.stanza("type='subscribe'")
    assert ask.query("roster", "getContact", CONTACT, user=a, contact=b)["ask"] == "OUT"
    assert ask.query("roster", "getContact", CONTACT, user=b, contact=a)["ask"] == "IN"
    assert act(b, a, "ACCEPT") == "Subscription stanza with type subscribed sent successfully"
    alice.stanza(item(b, subscription="to"))
    alice.stanza(f"^<presence[^>]*from='{bob.jid}'")
    assert ask.query("roster", "getContact", "subscription ask", user=b, contact=a) == {"subscription": "FROM", "ask": "NONE"}
    act(a, b, "CANCEL")
    bob.stanza(item(a, subscription="none"))
    act(a, b, "INVITE")
    act(b, a, "DECLINE")
    support.wait_for(lambda: ask.query("roster", "getContact", "ask", user=a, contact=b) == {"ask": "NONE"}, "the refusal")


def test_two_users_see_each_other_and_are_strangers_again(ask, people, online):
    a, b = people("ab")
    alice, bob = online(a), online(b)
    def mutual(action):
        return ask.mutation("roster", "setMutualSubscription", userA=a, userB=b, action=Enum(action))
    assert mutual("CONNECT") == "Mutual subscription established"
    alice.stanza(f"^<presence[^>]*from='{bob.jid}'")
    bob.stanza(f"^<presence[^>]*from='{alice.jid}'")
    for user, contact in ((a, b), (b, a)):
        support.wait_for(lambda: ask.query("roster", "getContact", "subscription ask", user=user, contact=contact)
                         == {"subscription": "BOTH", "ask": "NONE"}, "both subscriptions")
    assert mutual("CONNECT") == "Mutual subscription established"
    assert mutual("DISCONNECT") == "Mutual subscription removed"
    for client, other in ((alice, bob), (bob, alice)):
        client.stanza(f"^<presence(?=[^>]*from='{other.jid}')[^>]*type='unavailable'")
    for user in (a, b):
        support.wait_for(lambda: ask.query("roster", "listContacts", "jid", user=user) == [], "no contacts")
    assert mutual("DISCONNECT") == "Mutual subscription removed"


def test_users_who_are_away_are_connected_too(ask, people, online):
    a, b = people("ab")
    ask.mutation("roster", "setMutualSubscription", userA=a, userB=b, action=Enum("CONNECT"))
    alice, bob = online(a), online(b)
    alice.stanza(f"^<presence[^>]*from='{bob.jid}'")
    assert "type='subscribe'" not in alice.sync() + bob.sync()


def test_one_user_is_connected_with_many(ask, people):
    a, b, c = people("abc")
    answer = ask.ask("mutation", "roster", "subscribeToAll", user={"jid": a, "name": "Ann", "groups": ["Boss"]},
                     contacts=[{"jid": b, "name": "Ben"}, {"jid": "nobody@localhost", "name": ""}, {"jid": c, "name": "Cat"}])
    said = answer.json["data"]["roster"]["subscribeToAll"]
    assert said == [f"Subscription between users {a} and {b} created successfully", None,
                    f"Subscription between users {a} and {c} created successfully"]
    assert answer.codes == ["user_not_exist"] and answer.errors[0]["path"][-1] == 1
    def seen(user):
        return {x["jid"]: (x["name"], x["groups"], x["subscription"]) for x in ask.query("roster", "listContacts", CONTACT, user=user)}
    support.wait_for(lambda: seen(a) == {b: ("Ben", [], "BOTH"), c: ("Cat", [], "BOTH")}, "the contacts")
    for user in (b, c):
        support.wait_for(lambda: seen(user) == {a: ("Ann", ["Boss"], "BOTH")}, "the contact")


def test_all_are_connected_with_all(ask, people):
    jids = people("abc")
    said = ask.mutation("roster", "subscribeAllToAll", contacts=[{"jid": j, "name": f"n{i}"} for i, j in enumerate(jids)])
    assert len(said) == 3
    for i, jid in enumerate(jids):
        others = {j: (f"n{k}", "BOTH") for k, j in enumerate(jids) if k != i}
        support.wait_for(lambda: {x["jid"]: (x["name"], x["subscription"]) for x in
                                  ask.query("roster", "listContacts", CONTACT, user=jid)} == others, "the contacts")


# -- users for themselves

def test_a_user_has_the_same_for_the_own_contacts(node, people, online):
    a, b = people("ab")
    mine = Fields(api.user(node, a.split("@")[0]))
    client, bob = online(a), online(b)
    assert mine.mutation("roster", "addContact", contact=b, name="Ben") == "Contact added successfully"
    client.stanza(item(b, name="Ben"))
    assert mine.mutation("roster", "addContacts", contacts=[{"jid": "x@far.example", "name": "x"}]) == ["Contact added successfully"]
    assert mine.query("roster", "getContact", "name", contact=b) == {"name": "Ben"}
    assert sorted(c["jid"] for c in mine.query("roster", "listContacts", CONTACT)) == sorted([b, "x@far.example"])
    assert "subscribe sent" in mine.mutation("roster", "subscription", contact=b, action=Enum("INVITE"))
    bob.stanza(f"^<presence(?=[^>]*from='{a}')[^>]*type='subscribe'")
    assert mine.mutation("roster", "deleteContacts", contacts=["x@far.example"]) == ["Contact deleted successfully"]
    assert mine.mutation("roster", "deleteContact", contact=b) == "Contact deleted successfully"
    assert mine.query("roster", "listContacts", "jid") == []


def test_a_user_cannot_name_another(ask, node, people):
    a, b = people("ab")
    mine = Fields(api.user(node, a.split("@")[0]))
    mine.ask("mutation", "roster", "addContact", user=b, contact=a)
    assert ask.query("roster", "listContacts", "jid", user=b) == []
