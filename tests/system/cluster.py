# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Several real nodes on one database: a cluster on this machine."""
import re

import database
import support

MODULES = """
[c2s]
listen = {listen}
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[cets]
listen = {link}
heartbeat = 200ms
dead_after = {dead_after}
grace = {grace}
[discovery_rdbms]
interval = 500ms
[router]
tables = cets
[roster]
[presence]
[offline]
[sm]
[carbons]
[blocking]
[disco]
[ping]
"""


class Cluster:
    """Nodes n0, n1 … on one new database. `more` is INI text for all of them."""

    def __init__(self, folder, kind="pgsql", grace="1s", dead_after="1s", more="", users=8, server=None):
        self.folder, self.kind, self.grace, self.dead_after, self.more = folder, kind, grace, dead_after, more
        self.nodes = []
        self.server = server or (database.postgres() if kind == "pgsql" else None)
        self.database = self.server.create() if self.server else None
        self.users = [f"u{i}" for i in range(users)]
        self.clients = []

    def make(self, listen="127.0.0.1:0", link="127.0.0.1:0", args=()):
        """A node that is not started yet."""
        i = len(self.nodes)
        text = MODULES.format(listen=listen, link=link, grace=self.grace, dead_after=self.dead_after)
        text += self.more.replace("{listen}", listen)
        for module in re.findall(r"^\[(\w+)\]", self.more, re.M):
            text = re.sub(rf"^\[{module}\]\n(?:\w.*\n)*(?=[^\0]*^\[{module}\])", "", text, flags=re.M)
        node = support.Node(self.folder / f"n{i}", f"[meerkat]\nnode = n{i}\n" + text, kind="sqlite", args=args)
        if self.database:
            node.use_postgres(self.database, self.server)
        else:
            node.args += ["--set", f"rdbms_sqlite.file={self.folder}/n0/shared.sqlite3"]
        node.name = f"n{i}"
        self.nodes.append(node)
        return node

    def add(self, **more):
        return self.start(self.make(**more))

    def start(self, node):
        node.start()
        if not hasattr(self, "accounts_made"):
            self.make_accounts(node)
        node.wait_log("cets.in_sync")
        return node

    def up(self, count):
        try:
            for _ in range(count):
                self.make().start(wait=False)
            for node in self.nodes:
                node.wait_log("cets.in_sync", patience=30)
            self.make_accounts(self.nodes[0])
            return self.wait_joined()
        except BaseException:
            self.down()
            raise

    def make_accounts(self, node):
        node.wait_log("is ready")
        with (database.Connection(self.server.connect(self.database), True) if self.server else node.db()) as db:
            for user in self.users:
                db.execute("INSERT INTO users (server, username, password) VALUES ('localhost', ?, 'secret')", (user,))
        self.accounts_made = True

    def alive(self):
        return [n for n in self.nodes if n.process and n.process.poll() is None]

    def wait_joined(self, patience=support.PATIENCE):
        """Every living node is in sync with every other."""
        alive = self.alive()
        for node in alive:
            support.wait_for(lambda: metric(node, "cluster_nodes_joined") == len(alive) - 1,
                             f"{node.name} in sync with {len(alive) - 1} others", patience)
        return self

    def wait_sessions(self, count):
        """Every living node knows so many sessions."""
        for node in self.alive():
            support.wait_for(lambda: metric(node, "cluster_records") == count, f"{count} records at {node.name}")
        self.wait_known()

    def wait_known(self):
        """What any node has said, all others know."""
        for node in self.alive():
            support.wait_for(lambda: metric(node, "cluster_lag") == 0, f"all to know what {node.name} said")

    def login(self, index, user, resource="test", **more):
        client = self.nodes[index].client(user, resource=resource, **more)
        self.clients.append(client)
        return client

    def down(self):
        for client in self.clients:
            client.drop()
        for node in self.alive():
            node.process.terminate()
        for node in self.nodes:
            if node.process:
                node.process.wait(30)


def metric(node, name):
    match = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", node.control("metrics"), re.M)
    return float(match.group(1)) if match else None


def talk(a, b, text):
    a.message(b.jid, text)
    assert text in b.stanza("^<message")
