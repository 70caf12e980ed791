# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Sessions with stream management in a cluster: resumed at any node, handed over by a node that stops."""
import re

import pytest

import support
from cluster import Cluster, metric
from test_sm import NS, bodies, enable, reset, resume


@pytest.fixture(params=["pgsql", "sqlite"])
def cluster(tmp_path, request):
    made = Cluster(tmp_path, kind=request.param, more="[csi]\n").up(3)
    yield made
    made.down()


def contacts(a, b):
    a.presence(type_="subscribe", to=b.jid.split("/")[0])
    b.stanza("^<presence[^>]*subscribe")
    b.presence(type_="subscribed", to=a.jid.split("/")[0])
    a.stanza(f"^<presence[^>]*from='{b.jid}'")


def back(client):
    """Reads what is there, whatever it is, up to an answer of the server."""
    client.send("<iq type='get' id='end-of-it'><query xmlns='jabber:iq:roster'/></iq>")
    return client.until("id='end-of-it'.*?</iq>|id='end-of-it'[^>]*/>")


def handed_over(cluster, count=1):
    support.wait_for(lambda: sum(metric(n, "sm_sessions_arrived_total") for n in cluster.alive()) >= count,
                     f"{count} sessions at another node")


def test_a_session_resumes_at_another_node_with_what_it_missed(cluster):
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    previd = enable(bob)
    cluster.wait_sessions(2)
    reset(bob)
    for i in range(30):
        alice.message(bob.jid if i % 2 else "u1@localhost", f"number {i}")
    alice.sync()
    again, answer = resume(cluster.nodes[2], "u1", previd, 0)
    assert f"previd='{previd}'" in answer and "<resumed" in answer
    # What was on its way between nodes comes behind the answer.
    text = answer if "number 29<" in answer else answer + again.until("number 29<")
    got = bodies(text + back(again))
    assert [t for t in got if t.startswith("number")] == [f"number {i}" for i in range(30)]
    alice.message(bob.jid, "and on")
    assert "and on" in again.stanza("^<message")
    again.message(alice.jid, "thanks")
    assert "thanks" in alice.stanza("^<message")
    cluster.wait_sessions(2)
    again.close()


def test_a_session_that_still_has_a_connection_resumes_elsewhere(cluster):
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    previd = enable(bob)
    cluster.wait_sessions(2)
    again, answer = resume(cluster.nodes[2], "u1", previd, 0)
    assert "<resumed" in answer
    bob.closed()
    alice.message(bob.jid, "here")
    assert "here" in again.stanza("^<message")
    # … and from there to the next one.
    third, answer = resume(cluster.nodes[0], "u1", previd, 1)
    assert "<resumed" in answer
    alice.message(bob.jid, "there")
    assert "there" in third.stanza("^<message")
    third.close()


def test_the_count_of_what_the_client_sent_goes_along(cluster):
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    previd = enable(bob)
    cluster.wait_sessions(2)
    for i in range(7):
        bob.message(alice.jid, f"number {i}")
    for i in range(7):
        assert f"number {i}" in alice.stanza("^<message")
    reset(bob)
    again, answer = resume(cluster.nodes[2], "u1", previd, 0)
    assert re.search(r"\bh='7'", answer)
    again.close()


def test_contacts_see_nothing_of_a_move_and_directed_presence_ends_at_the_end(cluster):
    alice, bob, carol = (cluster.login(i, f"u{i}").presence() for i in range(3))
    contacts(alice, bob)
    previd = enable(bob)
    bob.presence(to=carol.jid)
    carol.stanza(f"^<presence[^>]*from='{bob.jid}'")
    cluster.wait_sessions(3)
    reset(bob)
    again, answer = resume(cluster.nodes[2], "u1", previd, 0)
    assert "<resumed" in answer
    alice.nothing("unavailable")
    late = cluster.login(0, "u0", resource="late").presence()
    late.stanza(f"^<presence[^>]*from='{bob.jid}'")
    again.close()
    alice.stanza("^<presence[^>]*unavailable")
    carol.stanza("^<presence[^>]*unavailable")


def test_carbons_and_waiting_stanzas_of_an_inactive_client_go_along(cluster):
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    other = cluster.login(0, "u1", resource="other").presence("<priority>5</priority>")
    bob.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    previd = enable(bob)
    bob.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    bob.sync()
    cluster.wait_sessions(3)
    reset(bob)
    again, answer = resume(cluster.nodes[2], "u1", previd, 0)
    assert "<resumed" in answer
    alice.message(other.jid, "for the other one")
    other.stanza("^<message")
    assert "urn:xmpp:carbons:2" in again.until("</message>")
    again.close()


@pytest.mark.parametrize("user,spoil", [("u2", False), ("u1", True)])
def test_nobody_else_resumes_a_session_of_another_node(cluster, user, spoil):
    bob = cluster.login(1, "u1")
    previd = enable(bob)
    cluster.wait_sessions(1)
    wrong = previd[:-1] + ("0" if previd[-1] != "0" else "1")
    stranger, answer = resume(cluster.nodes[2], user, wrong if spoil else previd, 0)
    assert "item-not-found" in answer
    stranger.drop()
    bob.sync()


def test_a_node_that_stops_hands_its_sessions_over(cluster):
    alice = cluster.login(0, "u0").presence()
    bobs = [cluster.login(1, "u1", resource=f"r{i}").presence() for i in range(20)]
    previds = [enable(bob) for bob in bobs]
    cluster.wait_sessions(21)
    for bob in bobs:
        alice.message(bob.jid, "before")
    for bob in bobs:
        assert "before" in bob.stanza("^<message")
    cluster.nodes[1].process.terminate()
    for bob in bobs:
        alice.message(bob.jid, "meanwhile")
    assert cluster.nodes[1].process.wait(20) == 0
    handed_over(cluster, 20)
    for bob in bobs:
        alice.message(bob.jid, "after")
    alice.nothing("unavailable|error")
    for i, bob in enumerate(bobs):
        again, answer = resume(cluster.nodes[0 if i % 2 else 2], "u1", previds[i], 0)
        assert "<resumed" in answer
        got = bodies(answer + back(again))
        assert got == ["before", "meanwhile", "after"]
        again.drop()
    cluster.wait_sessions(21)


def test_a_handed_over_session_that_nobody_resumes_gives_its_messages_to_storage(tmp_path):
    cluster = Cluster(tmp_path, more="[sm]\nresume_timeout = 2s\n").up(2)
    try:
        alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
        enable(bob)
        cluster.wait_sessions(2)
        cluster.nodes[1].process.terminate()
        bob.closed()
        alice.message(bob.jid, "for later")
        alice.sync()
        assert cluster.nodes[1].process.wait(20) == 0
        cluster.wait_sessions(1)
        assert "for later" in cluster.login(0, "u1").presence().until("</message>")
    finally:
        cluster.down()


def test_a_session_whose_new_node_dies_stays_where_it_was(cluster):
    bob = cluster.login(1, "u1")
    previd = enable(bob)
    cluster.wait_sessions(1)
    reset(bob)
    cluster.nodes[2].kill()
    again, answer = resume(cluster.nodes[0], "u1", previd, 0)
    assert "<resumed" in answer
    again.close()
