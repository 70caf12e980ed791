# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What an orchestrator is told: whether a node lives, and whether users may be sent to it."""
import json
import signal

import pytest

from cluster import Cluster
from database import Postgres
from support import Node, wait_for
from web import Raw, ask

HTTP = """
[http]
listen = 127.0.0.1:0
[health]
"""
CONFIG = """
[c2s]
listen = 127.0.0.1:0
close_timeout = 2s
[sasl]
[rdbms]
[auth_rdbms]
[register]
enabled = yes
[router]
[sm]
""" + HTTP


def look(node, path="/readyz"):
    answer = ask(node.port("http"), path)
    assert answer.header("content-type") == "application/json" and answer.header("cache-control") == "no-store"
    said = json.loads(answer.body)
    if "checks" in said:
        said["checks"] = set(said["checks"])
    return answer.status, said


def test_a_node_that_runs_is_alive_and_ready(start_node):
    node = start_node(CONFIG)
    assert look(node, "/healthz") == (200, {"status": "ok"})
    assert look(node) == (200, {"status": "ready", "reasons": {}, "checks": {"server", "database", "sessions"}})
    with Raw(node.port("http")) as raw:
        assert raw.get("/healthz", method="HEAD").status == 200
        assert raw.get("/readyz", method="POST", body=b"").status == 405


def test_a_node_without_a_database_needs_none(start_node):
    assert look(start_node(HTTP)) == (200, {"status": "ready", "reasons": {}, "checks": {"server"}})


@pytest.fixture
def own_postgres():
    server = Postgres().start()
    yield server
    server.destroy()


def test_a_node_whose_database_is_away_is_alive_and_not_ready(own_postgres, tmp_path):
    node = Node(tmp_path, CONFIG, kind="sqlite")
    node.use_postgres(own_postgres.create(), own_postgres)
    node.start()
    try:
        wait_for(lambda: look(node)[0] == 200, "the database to be reached")
        assert node.metric("ready") == 1
        own_postgres.stop("immediate")
        wait_for(lambda: look(node)[0] == 503, "the database to be missed")
        assert node.metric("ready") == 0
        assert look(node)[1] == {"status": "not ready", "reasons": {"database": "the database does not answer"},
                                 "checks": {"server", "database", "sessions"}}
        assert look(node, "/healthz")[0] == 200
        own_postgres.start()
        wait_for(lambda: look(node)[0] == 200, "the database to be found", 30)
    finally:
        node.stop()


def test_a_node_that_drains_says_so_while_it_does(start_node):
    node = start_node(CONFIG)
    with node.client() as client, Raw(node.port("http")) as raw:
        client.iq("set", "<query xmlns='jabber:iq:register'><username>alice</username><password>secret</password></query>")
        client.login("alice")
        assert raw.get("/readyz").status == 200
        node.process.send_signal(signal.SIGTERM)
        # This client does not close its stream: draining takes as long as it may.
        wait_for(lambda: ask(node.port("http"), "/readyz").status == 503, "the node to say that it stops")
        answer = json.loads(raw.get("/readyz").body)
        assert answer["reasons"]["server"] == "stopping" and answer["status"] == "not ready"
        assert raw.get("/healthz").status == 200
        client.until("system-shutdown")
        assert raw.get("/readyz").status == 503
        raw.closed()
        assert node.process.wait(20) == 0


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite", more=HTTP)
    yield cluster
    cluster.down()


def test_a_node_of_a_cluster_is_ready_when_it_has_joined(cluster):
    first = cluster.add()
    assert look(first)[1]["checks"] == {"server", "database", "cluster", "sessions"}
    wait_for(lambda: look(first)[0] == 200)
    second = cluster.make().start(wait=False)
    second.wait_log("listening for 'http'")
    second.wait_log("cets.in_sync")
    wait_for(lambda: look(second)[0] == 200)
    # Those that serve users go on while another joins, and when it dies.
    assert look(first)[0] == 200
    second.kill()
    third = cluster.make().start()
    assert look(first)[0] == 200
    # It waits for the one that is on the list and does not answer.
    wait_for(lambda: "cluster" in look(third)[1]["reasons"] or look(third)[0] == 200)
    wait_for(lambda: look(third)[0] == 200, "the dead node to be given up", 30)
