# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""In-band registration (XEP-0077)."""

import pytest

from test_roster import put, refused, roster

CONFIG = """
[meerkat]
state_dir = {dir}/state
[module:c2s]
listen = 127.0.0.1:0
[module:sasl]
[module:rdbms]
[module:auth_rdbms]
iterations = 4096
[module:roster]
[module:presence]
[module:private]
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
