# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Last activity (XEP-0012): of the server, and of accounts for those who may see their presence."""
import itertools
import re
import time

import pytest

from support import wait_for
from test_roster import refused

CONFIG = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[sasl]
[auth_memory]
accounts = a1:secret, a2:secret, a3:secret, a4:secret, a5:secret, a6:secret, a7:secret, a8:secret, bob:secret, carol:secret
[rdbms]
[rdbms_sqlite]
busy_timeout = 300ms
[roster]
[presence]
[last]
max_status = 10
"""
NS = "jabber:iq:last"


def ask(client, to):
    return client.iq("get", f"<query xmlns='{NS}'/>", to=to)


def seconds(answer):
    return int(re.search(r"type='result'.*<query xmlns='jabber:iq:last' seconds='(\d+)'", answer).group(1))


def rows(node, user):
    with node.db() as db:
        return db.rows(db.execute("SELECT server, seconds, state FROM last WHERE username = ?", (user,)))


fresh = itertools.count(1)


@pytest.fixture
def alice(node):
    """Somebody who was never there. Bob may see her, Carol may not."""
    user = f"a{next(fresh)}"
    with node.db() as db:
        db.execute("INSERT INTO rosterusers (server, username, jid, nick, subscription, ask, askmessage) "
                   "VALUES ('localhost', ?, 'bob@localhost', '', 'F', 'N', '')", (user,))
    return user


@pytest.fixture
def pair(login):
    return login("bob"), login("carol")


def test_the_server_says_how_long_it_has_been_running(login):
    assert seconds(ask(login("bob"), "localhost")) < 3600


def test_who_is_there_was_active_just_now(alice, pair, login):
    login(alice).presence().sync()
    assert seconds(ask(pair[0], f"{alice}@localhost")) == 0


def test_who_went_was_active_then_and_said_so(node, alice, pair, login):
    client = login(alice).presence()
    client.send("<presence type='unavailable'><status>out for lunch, back soon</status></presence>")
    host, since, state = wait_for(lambda: rows(node, alice), "the row")[0]
    assert (host, state) == ("localhost", "out for lu") and abs(time.time() - since) < 60
    answer = ask(pair[0], f"{alice}@localhost")
    assert seconds(answer) <= time.time() - since + 1 and ">out for lu</query>" in answer
    # Oneself may know as well.
    seconds(ask(client, f"{alice}@localhost"))


def test_only_the_last_of_several_clients_counts(node, alice, pair, login):
    one, two = login(alice, resource="one").presence(), login(alice, resource="two").presence()
    two.sync(), one.sync()
    one.close()
    assert seconds(ask(pair[0], f"{alice}@localhost")) == 0 and not rows(node, alice)
    two.drop()
    wait_for(lambda: rows(node, alice), "the row")


def test_who_may_not_see_presence_learns_nothing(alice, pair):
    answers = {re.sub("(from|id)='[^']*'", "", ask(pair[1], f"{who}@localhost")) for who in (alice, "nobody", "bob")}
    assert len(answers) == 1
    refused(answers.pop(), "forbidden")


def test_who_was_never_there_is_not_found(alice, pair):
    refused(ask(pair[0], f"{alice}@localhost"), "item-not-found")


def test_a_row_of_mongooseim_is_read(node, alice, pair):
    with node.db() as db:
        db.execute("INSERT INTO last (server, username, seconds, state) VALUES ('localhost', ?, ?, 'bye')",
                   (alice, int(time.time()) - 1000))
    answer = ask(pair[0], f"{alice}@localhost")
    assert 1000 <= seconds(answer) < 1060 and ">bye</query>" in answer


def test_a_client_answers_for_itself(alice, pair, login):
    client = login(alice).presence()
    pair[0].send(f"<iq type='get' id='full' to='{client.jid}'><query xmlns='{NS}'/></iq>")
    assert f"from='{pair[0].jid}'" in client.stanza("^<iq[^>]*id='full'")
