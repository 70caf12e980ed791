# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The GraphQL API of a cluster: one node tells of all, and reaches all; categories cets and cluster."""
import re

import pytest

import api
import extra
import support
from cluster import Cluster
from fields import Enum, Fields

API = """
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
[admin]
[health]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("api_cluster"), more=API).up(3)
    yield cluster
    cluster.down()


@pytest.fixture
def ask(cluster):
    return Fields(api.admin(cluster.nodes[0]))


@pytest.fixture
def login(cluster):
    clients = []

    def make(index, user, **more):
        client = cluster.login(index, user, **more)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.drop()
    cluster.wait_sessions(0)


def available(client, inner=""):
    client.presence(inner)
    client.stanza(rf"^<presence[^>]*from='{client.jid}'")
    return client


# -- sessions of all nodes

def test_sessions_of_all_nodes_are_told_by_each(cluster, login):
    clients = [available(login(i, f"u{i}")) for i in range(3)]
    cluster.wait_sessions(3)
    for node in cluster.nodes:
        ask = Fields(api.admin(node))
        sessions = ask.query("session", "listSessions", "user ip port node connection", domain="localhost")
        assert sessions == [{"user": c.jid, "ip": "127.0.0.1", "port": c.socket.getsockname()[1], "node": f"n{i}",
                             "connection": "c2s"} for i, c in enumerate(clients)]
        assert ask.query("session", "countSessions") == ask.query("session", "countSessions", domain="localhost") == 3
        stats = ask.query("stat", "globalStats", "onlineUsersNode onlineUsers registeredUsers")
        assert stats == {"onlineUsersNode": 1, "onlineUsers": 3, "registeredUsers": len(cluster.users)}
    assert Fields(api.user(cluster.nodes[0], "u2")).query("session", "listSessions", "user node") == [
        {"user": clients[2].jid, "node": "n2"}]


def test_what_sessions_of_all_nodes_show(cluster, ask, login):
    for i in range(3):
        available(login(i, f"u{i}"), "<show>xa</show><status>there</status>" if i else "")
    cluster.wait_sessions(3)
    users = ask.query("session", "listUsersWithStatus", "user text", status="xa")
    assert sorted(u["user"] for u in users) == ["u1@localhost/test", "u2@localhost/test"] and users[0]["text"] == "there"
    assert ask.query("session", "countUsersWithStatus", domain="localhost", status="xa") == 2


def test_sessions_of_other_nodes_are_ended(cluster, ask, login):
    here, there, far = login(0, "u0", resource="a"), login(1, "u0", resource="b"), login(2, "u1")
    cluster.wait_sessions(3)
    assert ask.mutation("session", "kickUserSession", "kicked", user=far.jid, reason="go") == {"kicked": True}
    far.closed("<conflict.*go")
    assert [k["kicked"] for k in ask.mutation("session", "kickUser", "kicked", user="u0@localhost")] == [True, True]
    here.closed("<conflict"), there.closed("<conflict")


def test_presence_of_a_session_of_another_node_is_set(cluster, ask, login):
    a, b = available(login(1, "u2", resource="a")), available(login(2, "u2", resource="b"))
    cluster.wait_sessions(2)
    ask.mutation("session", "setPresence", "jid", user=b.jid, type=Enum("AVAILABLE"), show=Enum("AWAY"), priority=3)
    assert "<show>away</show>" in a.stanza(f"^<presence[^>]*from='{b.jid}'.*away")
    support.wait_for(lambda: ask.query("session", "listUserSessions", "priority", user="u2@localhost")
                     == [{"priority": 0}, {"priority": 3}], "the priority")


def test_who_is_removed_is_gone_from_all_nodes(cluster, ask, login):
    ask.mutation("account", "registerUser", "jid", domain="localhost", username="leaver", password="secret")
    here, there = login(0, "leaver", resource="a"), login(1, "leaver", resource="b")
    cluster.wait_sessions(2)
    ask.mutation("account", "removeUser", "jid", user="leaver@localhost")
    here.closed("<not-authorized"), there.closed("<not-authorized")


def test_a_message_reaches_a_client_of_another_node(cluster, ask, login):
    bob = available(login(2, "u1"))
    cluster.wait_sessions(1)
    cluster.wait_known()
    ask.mutation("stanza", "sendMessage", "id", from_="u0@localhost", to="u1@localhost", body="across")
    assert "across" in bob.stanza("^<message")


def test_metrics_of_all_nodes(cluster, ask, login):
    login(1, "u1")
    cluster.wait_sessions(1)
    def of_nodes(**more):
        results = ask.query("metric", "getClusterMetricsAsDicts", "node result { dict { key value } }", name=["global", "sessions"], **more)
        return {r["node"]: r["result"][0]["dict"][0]["value"] for r in results}
    assert of_nodes() == {"n0": 0, "n1": 1, "n2": 0}
    assert of_nodes(nodes=["n1", "n9"]) == {"n1": 1}


# -- the cluster itself

SYSTEM = ("availableNodes unavailableNodes joinedNodes discoveredNodes remoteNodesWithoutDisco remoteNodesWithUnknownTables "
          "remoteUnknownTables remoteNodesWithMissingTables remoteMissingTables conflictNodes conflictTables discoveryWorks")


def system(node):
    return Fields(api.admin(node)).query("cets", "systemInfo", SYSTEM)


def test_a_healthy_cluster_is_joined_as_it_is_discovered(cluster):
    all_nodes = ["n0", "n1", "n2"]
    for node in cluster.nodes:
        support.wait_for(lambda: system(node)["discoveredNodes"] == all_nodes, "the discovery's list")
        info = system(node)
        assert info["joinedNodes"] == info["availableNodes"] == all_nodes
        assert info.pop("discoveryWorks") is True
        assert not any(v for k, v in info.items() if k not in ("joinedNodes", "availableNodes", "discoveredNodes"))


def test_tables_have_what_sessions_write(cluster, ask, login):
    def sessions():
        tables = ask.query("cets", "tableInfo", "tableName memory size nodes")
        return next(t for t in tables if t["tableName"] == "sessions")
    before = sessions()
    assert before["size"] == before["memory"] == 0 and before["nodes"] == ["n0", "n1", "n2"]
    for i in range(6):
        login(i % 3, f"u{i}")
    cluster.wait_sessions(6)
    after = sessions()
    assert after["size"] == 6 and 6 * 8 < after["memory"] < 6 * 64


def test_nodes_are_listed(cluster, ask, login):
    login(1, "u1"), login(1, "u2")
    cluster.wait_sessions(2)
    def nodes():
        return ask.query("cluster", "nodes", "name number state address version records lag")
    support.wait_for(lambda: all(n["address"] for n in nodes()), "all addresses")
    listed = nodes()
    assert [(n["name"], n["state"]) for n in sorted(listed, key=lambda n: n["name"])] == [
        ("n0", "self"), ("n1", "joined"), ("n2", "joined")]
    assert listed[0]["name"] == "n0" and len({n["number"] for n in listed}) == 3
    by_name = {n["name"]: n for n in listed}
    assert by_name["n1"]["records"] == 2 and by_name["n0"]["records"] == by_name["n2"]["records"] == 0
    for n in cluster.nodes:
        assert by_name[n.name]["address"] == f"127.0.0.1:{n.port('cluster')}"
        assert by_name[n.name]["version"] == ask.query("server", "status", "version")["version"] and by_name[n.name]["lag"] == 0


def test_commands_for_clusters_of_erlang_nodes_know_the_nodes(ask):
    assert ask.fails("server", "joinCluster", node="n1") == "already_joined"
    assert ask.fails("server", "leaveCluster") == "error"
    assert ask.fails("server", "removeFromCluster", node="n1") == "node_is_alive"
    assert ask.fails("server", "removeFromCluster", node="n9") == "not_in_cluster"


def test_nodes_with_other_tables_are_named(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite", more=API)
    try:
        for i in range(2):
            modules = extra.module_folder(tmp_path / f"modules{i}")
            extra.compile_module(modules, "t_table", MK_NAME="t_table", MK_TABLE="disputed", MK_VERSION=1 + i)
            extra.compile_module(modules, "t_table", "t_more", MK_NAME="t_more", MK_TABLE=f"only{i}", MK_VERSION=1)
            node = cluster.make(args=["--set", f"meerkat.module_path={modules}"])
            node.ini.write_text(node.ini.read_text() + "[t_table]\n[t_more]\n")
            cluster.start(node)
        cluster.wait_joined()
        for i, node in enumerate(cluster.nodes):
            other, info = [f"n{1 - i}"], system(node)
            assert info["remoteNodesWithUnknownTables"] == info["remoteNodesWithMissingTables"] == other
            assert (info["remoteUnknownTables"], info["remoteMissingTables"]) == ([f"only{1 - i}"], [f"only{i}"])
            assert (info["conflictNodes"], info["conflictTables"]) == (other, ["disputed"])
            tables = {t["tableName"]: t["nodes"] for t in Fields(api.admin(node)).query("cets", "tableInfo", "tableName nodes")}
            assert tables["disputed"] == [f"n{i}"] and tables["sessions"] == ["n0", "n1"]
    finally:
        cluster.down()


def test_all_nodes_reload_and_say_how_it_went(cluster, ask):
    bad = cluster.nodes[1].ini
    right = bad.read_text()
    try:
        bad.write_text(right + "[nonsense]\n")
        answers = {a["node"]: a["error"] for a in ask.mutation("cluster", "reload", "node error")}
        assert answers["n0"] is None and answers["n2"] is None and "nonsense" in answers["n1"]
    finally:
        bad.write_text(right)
    answers = ask.mutation("cluster", "reload", "node error")
    assert answers[0]["node"] == "n0" and [a["error"] for a in answers] == [None] * 3


# -- nodes that go (last: they do not come back)

def test_a_node_is_emptied_and_its_sessions_go_on_elsewhere(cluster, ask, login):
    kept, plain = available(login(2, "u1")), login(2, "u2")
    kept.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    id_ = re.search(r"id='([^']*)'", kept.until("<enabled[^>]*/>")).group(1)
    cluster.wait_sessions(2)
    assert ask.mutation("cluster", "drain", node="n2") == "Drained: 1 sessions went to other nodes, 1 were ended"
    plain.closed("<system-shutdown")
    support.wait_for(lambda: [s["node"] for s in ask.query("session", "listUserSessions", "node", user="u1@localhost")]
                     in (["n0"], ["n1"]), "the session at another node")
    status = Fields(api.admin(cluster.nodes[2])).query("server", "status", "ready checks { name reason }")
    assert not status["ready"] and {"name": "sessions", "reason": "draining"} in status["checks"]
    with pytest.raises(OSError):
        cluster.nodes[2].client()
    again = cluster.nodes[0].client()
    again.authenticate("u1")
    again.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{id_}' h='0'/>")
    again.until("<resumed[^>]*/>")
    ask.mutation("stanza", "sendMessage", "id", from_="u0@localhost", to="u1@localhost", body="still here")
    again.stanza("still here")
    ask.mutation("session", "kickUser", "kicked", user="u1@localhost")
    again.closed()


def test_a_node_that_is_gone_is_told(cluster, ask):
    cluster.nodes[2].stop()
    support.wait_for(lambda: system(cluster.nodes[0])["joinedNodes"] == ["n0", "n1"], "the node to leave")
    (state,) = [n["state"] for n in ask.query("cluster", "nodes", "name state") if n["name"] == "n2"]
    assert state == "gone"
    assert "gone" in ask.mutation("server", "removeFromCluster", node="n2")
    assert ask.fails("cluster", "drain", node="n2") == "not_in_cluster"
    cluster.nodes[1].kill()
    support.wait_for(lambda: system(cluster.nodes[0])["unavailableNodes"] == ["n1"], "the dead node")
    assert ask.fails("cluster", "drain") == "not_possible"
