# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Category domain of the GraphQL API: domains that come and go, on all nodes."""
import base64
import hashlib
import hmac
import re

import pytest

import api
import support
from cluster import Cluster
from fields import Enum, Fields

HOSTS = "localhost, fixed.example"
API = """
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
domain_listen = 127.0.0.1:0
[admin]
[domain]
poll = 1d
host_types = default, other
"""
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[private]
[roster]
[presence]
""" + API
DOMAIN = "domain hostType status type"
NOTE = "<query xmlns='jabber:iq:private'><a xmlns='test:a'>{}</a></query>"


@pytest.fixture
def ask(node):
    return Fields(api.admin(node))


def add(ask, domain, host_type="default"):
    return ask.mutation("domain", "addDomain", DOMAIN, domain=domain, hostType=host_type)


def register(ask, name, domain):
    return ask.mutation("account", "registerUser", "jid", domain=domain, username=name, password="secret")["jid"]


def refuses(node, domain):
    """This node does not serve the domain."""
    client = support.Client(node.port(), domain, stream=False)
    client.send(client.header())
    client.closed("<host-unknown")
    return True


# -- coming and going

def test_a_domain_is_served_from_the_moment_it_is_added(ask, node):
    assert refuses(node, "new.example")
    assert add(ask, "New.example") == {"domain": "new.example", "hostType": "default", "status": "ENABLED", "type": "DYNAMIC"}
    register(ask, "anna", "new.example")
    with node.client("anna", host="new.example") as anna:
        assert anna.jid == "anna@new.example/test"
        anna.sync()
    assert add(ask, "new.example")["status"] == "ENABLED"
    assert ask.fails("domain", "addDomain", DOMAIN, domain="new.example", hostType="other") == "duplicate"


def test_a_disabled_domain_keeps_what_is_its(ask, node):
    add(ask, "off.example")
    register(ask, "anna", "off.example")
    anna = node.client("anna", host="off.example")
    assert ask.mutation("domain", "disableDomain", DOMAIN, domain="off.example")["status"] == "DISABLED"
    anna.closed("<host-gone")
    assert refuses(node, "off.example")
    assert ask.query("domain", "domainDetails", DOMAIN, domain="off.example")["status"] == "DISABLED"
    assert ask.fails("account", "countUsers", kind="query", domain="off.example") == "domain_not_found"
    assert ask.mutation("domain", "enableDomain", DOMAIN, domain="off.example")["status"] == "ENABLED"
    node.client("anna", host="off.example").drop()


def test_a_removed_domain_is_gone_with_its_accounts(ask, node):
    add(ask, "gone.example")
    for i in range(3):
        register(ask, f"u{i}", "gone.example")
    u0 = node.client("u0", host="gone.example")
    u0.iq("set", NOTE.format("kept"))
    assert ask.mutation("domain", "removeDomain", DOMAIN, domain="gone.example", hostType="default") == {
        "domain": "gone.example", "hostType": "default", "status": "DELETED", "type": "DYNAMIC"}
    u0.closed("<host-gone")
    assert refuses(node, "gone.example")
    assert ask.fails("domain", "domainDetails", DOMAIN, kind="query", domain="gone.example") == "not_found"
    add(ask, "gone.example", "other")
    assert ask.query("account", "countUsers", domain="gone.example") == 0
    register(ask, "u0", "gone.example")
    with node.client("u0", host="gone.example") as again:
        assert "kept" not in again.iq("get", NOTE.format(""))


def test_a_domain_is_removed_in_the_background(ask, node):
    add(ask, "slow.example")
    register(ask, "anna", "slow.example")
    assert ask.mutation("domain", "requestRemoveDomain", "status", domain="slow.example", hostType="default") == {"status": "DELETING"}
    assert refuses(node, "slow.example")
    support.wait_for(lambda: "errors" in ask.ask("query", "domain", "domainDetails", "status", domain="slow.example").json, "the end")
    with node.db() as db:
        assert db.execute("SELECT count(*) FROM users WHERE server = 'slow.example'").fetchone()[0] == 0


def test_an_interrupted_removal_is_taken_up_again(ask, node):
    add(ask, "half.example")
    register(ask, "anna", "half.example")
    ask.mutation("domain", "disableDomain", "status", domain="half.example")
    with node.db() as db:
        db.execute("UPDATE domain_settings SET status = 2 WHERE domain = 'half.example'")
    assert ask.query("domain", "domainDetails", "status", domain="half.example") == {"status": "DELETING"}
    for name, more in (("enableDomain", {}), ("disableDomain", {}), ("addDomain", {"hostType": "default"})):
        assert ask.fails("domain", name, "status", domain="half.example", **more) == "deleted"
    assert ask.mutation("domain", "removeDomain", "status", domain="half.example", hostType="default") == {"status": "DELETED"}
    assert refuses(node, "half.example")


def test_an_interrupted_removal_is_finished_when_a_node_starts(tmp_path):
    node = support.Node(tmp_path, CONFIG).start()
    try:
        ask = Fields(api.admin(node))
        for name in ("half.example", "whole.example"):
            add(ask, name)
            register(ask, "anna", name)
        with node.db() as db:
            db.execute("UPDATE domain_settings SET status = 2 WHERE domain = 'half.example'")
        node.kill()
        node.start()
        node.wait_log("removal of domain 'half.example' was interrupted")
        ask = Fields(api.admin(node))
        support.wait_for(lambda: "errors" in ask.ask("query", "domain", "domainDetails", "status", domain="half.example").json, "the end")
        with node.db() as db:
            assert db.execute("SELECT count(*) FROM users WHERE server = 'half.example'").fetchone()[0] == 0
        assert ask.query("account", "countUsers", domain="whole.example") == 1
        assert "whole.example' was interrupted" not in node.log()
    finally:
        node.stop()


def test_domains_are_listed(ask):
    add(ask, "list1.example"), add(ask, "list2.example", "other"), add(ask, "list3.example", "other")
    ask.mutation("domain", "disableDomain", "status", domain="list3.example")
    assert ask.query("domain", "domainsByHostType", hostType="other")[-1] == "list2.example"
    assert "list1.example" in ask.query("domain", "domainsByHostType", hostType="default")
    assert ask.query("domain", "domainsByHostType", hostType="localhost") == ["localhost"]
    assert ask.fails("domain", "domainsByHostType", kind="query", hostType="nothing") == "unknown_host_type"
    all_domains = {d["domain"]: d for d in ask.query("domain", "allDomains", DOMAIN)}
    assert all_domains["fixed.example"] == {"domain": "fixed.example", "hostType": "fixed.example", "status": "ENABLED", "type": "STATIC"}
    assert all_domains["list3.example"] == {"domain": "list3.example", "hostType": "other", "status": "DISABLED", "type": "DYNAMIC"}


def test_what_cannot_be_changed(ask):
    assert ask.query("domain", "domainDetails", DOMAIN, domain="localhost") == {
        "domain": "localhost", "hostType": "localhost", "status": "ENABLED", "type": "STATIC"}
    add(ask, "typed.example")
    def code(name, domain, **more):
        return ask.fails("domain", name, "status", domain=domain, **more)
    for name in ("addDomain", "removeDomain", "requestRemoveDomain"):
        assert code(name, "localhost", hostType="default") == "static"
        assert code(name, "typed.example", hostType="nothing") == "unknown_host_type"
    for name in ("removeDomain", "requestRemoveDomain"):
        assert code(name, "typed.example", hostType="other") == "wrong_host_type"
        assert code(name, "nothing.example", hostType="default") == "not_found"
    for name in ("enableDomain", "disableDomain"):
        assert code(name, "fixed.example") == "static"
        assert code(name, "nothing.example") == "not_found"
    assert ask.query("domain", "domainDetails", DOMAIN, domain="typed.example")["status"] == "ENABLED"


def test_domains_of_the_database_are_served_after_a_restart(start_node):
    node = start_node(CONFIG, hosts=HOSTS)
    ask = Fields(api.admin(node))
    add(ask, "kept.example"), add(ask, "off.example")
    ask.mutation("domain", "disableDomain", "status", domain="off.example")
    register(ask, "anna", "kept.example")
    node.stop()
    node.start()
    support.wait_for(lambda: "domain 'kept.example' is served" in node.log(), "the domain")
    node.client("anna", host="kept.example").drop()
    assert refuses(node, "off.example")


def test_what_others_write_into_the_database_is_noticed(start_node):
    node = start_node(CONFIG.replace("poll = 1d", "poll = 100ms"), hosts=HOSTS)
    with node.db() as db:
        db.execute("INSERT INTO domain_settings (domain, host_type) VALUES ('written.example', 'x')")
        db.execute("INSERT INTO domain_events (domain) VALUES ('written.example')")
    support.wait_for(lambda: "domain 'written.example' is served" in node.log(), "the new domain")
    with node.db() as db:
        db.execute("UPDATE domain_settings SET status = 0 WHERE domain = 'written.example'")
        db.execute("INSERT INTO domain_events (domain) VALUES ('written.example')")
    support.wait_for(lambda: "'written.example' is not served any more" in node.log(), "the end of the domain")


def test_a_node_may_be_stopped_while_it_reads_its_domains(start_node):
    node = start_node(CONFIG, hosts=HOSTS)
    node.stop()
    assert "still under way" not in node.log() and "still has" not in node.log()


# -- administrators of domains

def admin_of(node, domain, password):
    return Fields(api.Api(node.port("graphql_domain"), f"admin@{domain}", password))


def test_passwords_are_kept_as_keys_of_scram(ask, node):
    add(ask, "keys.example")
    assert ask.mutation("domain", "setDomainPassword", domain="keys.example", password="needle ü") == "Domain password set successfully"
    with node.db() as db:
        (text,) = db.execute("SELECT pass_details FROM domain_admins WHERE domain = 'keys.example'").fetchone()
    match = re.fullmatch(r"==MULTI_SCRAM==,10000,==SHA512==(.*)\|(.*)\|(.*)", text)
    salt, stored, server = [base64.b64decode(part) for part in match.groups()]
    salted = hashlib.pbkdf2_hmac("sha512", "needle ü".encode(), salt, 10000)
    client_key = hmac.digest(salted, b"Client Key", "sha512")
    assert len(salt) == 16 and stored == hashlib.sha512(client_key).digest() and server == hmac.digest(salted, b"Server Key", "sha512")
    assert "needle" not in node.log()
    assert ask.mutation("domain", "deleteDomainPassword", domain="keys.example") == "Domain password deleted successfully"
    assert ask.fails("domain", "deleteDomainPassword", domain="keys.example") == "not_found"
    assert ask.fails("domain", "setDomainPassword", domain="nothing.example", password="x") == "not_found"


@pytest.fixture(scope="module")
def mine(node):
    """The administrator of mine.example; there is theirs.example too, with an account in each."""
    ask = Fields(api.admin(node))
    for domain in ("mine.example", "theirs.example"):
        add(ask, domain)
        register(ask, "anna", domain), register(ask, "ben", domain)
    ask.mutation("domain", "setDomainPassword", domain="mine.example", password="key")
    return admin_of(node, "mine.example", "key")


def test_an_administrator_of_a_domain_logs_in_with_its_password(ask, mine, node):
    def status(domain, password):
        return admin_of(node, domain, password).api("{ checkAuth { authStatus } }").status
    assert status("mine.example", "key") == 200
    assert status("mine.example", "wrong") == status("theirs.example", "key") == status("nothing.example", "key") == 401
    ask.mutation("domain", "setDomainPassword", domain="theirs.example", password="other")
    assert status("theirs.example", "other") == 200
    ask.mutation("domain", "deleteDomainPassword", domain="theirs.example")
    assert status("theirs.example", "other") == 401


@pytest.mark.parametrize("kind, category, name, selection, arguments", [
    ("query", "account", "listUsers", "", {"domain": "{}"}),
    ("query", "account", "countUsers", "", {"domain": "{}"}),
    ("query", "account", "checkPassword", "correct", {"user": "anna@{}", "password": "secret"}),
    ("query", "account", "checkUser", "exist", {"user": "anna@{}"}),
    ("mutation", "account", "registerUser", "jid", {"domain": "{}", "password": "x"}),
    ("mutation", "account", "changeUserPassword", "jid", {"user": "anna@{}", "newPassword": "secret"}),
    ("query", "session", "listSessions", "user", {"domain": "{}"}),
    ("query", "session", "countSessions", "", {"domain": "{}"}),
    ("query", "session", "listUserSessions", "user", {"user": "anna@{}"}),
    ("query", "session", "listUsersWithStatus", "user", {"domain": "{}", "status": "away"}),
    ("mutation", "session", "kickUser", "kicked", {"user": "anna@{}"}),
    ("mutation", "stanza", "sendMessage", "id", {"from_": "anna@{}", "to": "ben@{}", "body": "x"}),
    ("query", "stat", "domainStats", "onlineUsers", {"domain": "{}"}),
    ("query", "private", "getPrivate", "", {"user": "anna@{}", "element": "a", "nameSpace": "test:a"}),
    ("query", "roster", "listContacts", "jid", {"user": "anna@{}"}),
    ("mutation", "roster", "setMutualSubscription", "", {"userA": "anna@{}", "userB": "ben@{}", "action": Enum("CONNECT")}),
    ("mutation", "roster", "subscribeAllToAll", "", {"contacts": [{"jid": "anna@{}", "name": ""}, {"jid": "ben@{}", "name": ""}]}),
    ("query", "domain", "domainDetails", "status", {"domain": "{}"}),
    ("mutation", "domain", "setDomainPassword", "", {"domain": "{}", "password": "key"}),
])
def test_an_administrator_of_a_domain_reaches_that_domain_alone(mine, kind, category, name, selection, arguments):
    def ask(domain):
        def fill(value):
            if isinstance(value, list):
                return [fill(v) for v in value]
            if isinstance(value, dict):
                return {k: fill(v) for k, v in value.items()}
            return value if isinstance(value, Enum) else value.replace("{}", domain)
        return mine.ask(kind, category, name, selection, **fill(arguments))
    assert "errors" not in ask("mine.example").json
    answer = ask("theirs.example")
    assert answer.status == 401 and answer.codes == ["no_permissions"] and "data" not in answer.json


@pytest.mark.parametrize("kind, category, name, selection, arguments", [
    ("query", "session", "listSessions", "user", {}), ("query", "session", "countSessions", "", {}),
    ("query", "stat", "globalStats", "onlineUsers", {}), ("query", "server", "status", "version", {}),
    ("mutation", "server", "stop", "", {}), ("query", "metric", "getMetrics", "__typename", {}), ("query", "module", "list", "name", {}),
    ("query", "config", "show", "key", {}), ("query", "log", "tail", "text", {}), ("query", "domain", "allDomains", "domain", {}),
    ("mutation", "domain", "addDomain", "domain", {"domain": "x.example", "hostType": "default"}),
    ("mutation", "domain", "deleteDomainPassword", "", {"domain": "mine.example"}),
    ("mutation", "account", "importUsers", "status", {"filename": "/etc/passwd"}),
    ("mutation", "stanza", "sendStanza", "id", {"stanza": "<message from='anna@mine.example' to='ben@mine.example'/>"}),
])
def test_what_is_for_the_administrator_of_the_server(mine, kind, category, name, selection, arguments):
    answer = mine.ask(kind, category, name, selection, **arguments)
    assert answer.status == 401 and answer.codes == ["no_permissions"] and "data" not in answer.json


# -- many nodes

@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("api_domain"), more=API + "[private]\n").up(2)
    yield cluster
    cluster.down()


def test_a_change_is_answered_when_all_nodes_act_by_it(cluster):
    one, two = cluster.nodes
    ask = Fields(api.admin(one))
    for i in range(5):
        domain = f"many{i}.example"
        add(ask, domain)
        register(ask, "anna", domain)
        anna = two.client("anna", host=domain)
        ask.mutation("domain", "disableDomain", "status", domain=domain)
        anna.closed("<host-gone")
        assert refuses(two, domain)
        ask.mutation("domain", "enableDomain", "status", domain=domain)
        two.client("anna", host=domain).drop()
        ask.mutation("domain", "removeDomain", "status", domain=domain, hostType="default")
        assert refuses(one, domain) and refuses(two, domain)
