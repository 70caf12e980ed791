# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
import pytest

import database
import support
from cluster import Cluster


@pytest.fixture(scope="session", autouse=True)
def databases():
    yield
    database.destroy_shared()


@pytest.fixture
def postgres():
    """The PostgreSQL server of the test run."""
    return database.postgres()


@pytest.fixture
def make_cluster(tmp_path):
    """make_cluster(**more): a Cluster that is down after the test."""
    made = []

    def make(**more):
        made.append(Cluster(tmp_path / str(len(made)), **more))
        return made[-1]

    yield make
    for one in made:
        one.down()


@pytest.fixture
def start_node(tmp_path):
    """start_node(config, **more): a Node that is stopped, and whose end is checked, after the test."""
    nodes = []

    def start(config, folder=None, **more):
        node = support.Node(folder or tmp_path / str(len(nodes)), config, **more)
        nodes.append(node)
        return node.start()

    yield start
    for node in nodes:
        if node.process and node.process.poll() is None:
            node.stop()


@pytest.fixture(scope="module")
def node(request, tmp_path_factory):
    """One node for all tests of a file, configured by its CONFIG (and HOSTS)."""
    node = support.Node(tmp_path_factory.mktemp(request.module.__name__), request.module.CONFIG,
                        hosts=getattr(request.module, "HOSTS", "localhost"))
    node.start()
    yield node
    node.stop()


@pytest.fixture
def login(node):
    """login("alice"): a bound raw client of `node`, dropped after the test."""
    clients = []

    def make(*args, **more):
        client = node.client(*args, **more)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.drop()
