# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Category account of the GraphQL API: what it does to accounts is what clients find."""
import pytest

import api
from fields import Fields

HOSTS = "localhost, other.example, empty.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[offline]
[private]
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
[admin]
max_items = 20
import_size = 1K
"""
PAYLOAD = "jid message"
EMPTY = "<query xmlns='jabber:iq:private'><a xmlns='test:a'/></query>"


@pytest.fixture
def ask(node):
    return Fields(api.admin(node))


@pytest.fixture
def make(ask):
    def make(name, password="secret", domain="localhost"):
        return ask.mutation("account", "registerUser", PAYLOAD, domain=domain, username=name, password=password)
    return make


def as_user(node, name, password="secret"):
    return Fields(api.user(node, name, password))


def cannot_log_in(node, name, password="secret"):
    with pytest.raises(AssertionError):
        node.client(name, password)
    return True


# -- making

def test_who_is_registered_can_log_in(ask, make, login):
    assert make("anna") == {"jid": "anna@localhost", "message": "User anna@localhost successfully registered"}
    login("anna")


def test_a_name_is_prepared_as_that_of_a_client(make, login):
    assert make("GreTa")["jid"] == "greta@localhost"
    login("greta")


def test_without_a_name_one_is_made_up(ask, node):
    jid = ask.mutation("account", "registerUser", PAYLOAD, domain="localhost", password="secret")["jid"]
    name = jid.split("@")[0]
    assert len(name) >= 10
    node.client(name).drop()


def test_a_name_that_is_taken_stays_as_it_is(ask, make, node, login):
    make("bruno", "first")
    assert ask.fails("account", "registerUser", PAYLOAD, domain="localhost", username="bruno",
                     password="second") == "exists"
    login("bruno", "first")


@pytest.mark.parametrize("domain, password", [("nowhere.example", "secret"), ("localhost", "")])
def test_what_cannot_be_registered(ask, domain, password):
    assert ask.fails("account", "registerUser", PAYLOAD, domain=domain, username="x",
                     password=password) == "cannot_register"


# -- asking

def test_accounts_are_listed_by_name_and_in_parts(ask, make):
    names = [f"l{i:02}@other.example" for i in range(25)]
    for name in reversed(names):
        make(name.split("@")[0], domain="other.example")
    def listed(**more):
        return ask.query("account", "listUsers", domain="other.example", **more)
    assert listed(limit=20) == names[:20]
    assert listed(limit=7, index=20) == names[20:]
    assert listed(limit=7, index=25) == []
    assert ask.fails("account", "listUsers", kind="query", domain="other.example") == "too_many_items"
    assert ask.fails("account", "listUsers", kind="query", domain="other.example", limit=21) == "too_many_items"
    assert ask.query("account", "countUsers", domain="other.example") == 25


def test_a_domain_without_accounts_has_none(ask):
    assert ask.query("account", "listUsers", domain="empty.example") == []
    assert ask.query("account", "countUsers", domain="empty.example") == 0


def test_accounts_of_an_unknown_domain(ask):
    for name in ("listUsers", "countUsers"):
        assert ask.fails("account", name, kind="query", domain="nowhere.example") == "domain_not_found"


def test_a_password_is_checked(ask, make):
    make("carla", "right")
    def check(user, password):
        return ask.query("account", "checkPassword", "correct message", user=user, password=password)
    assert check("carla@localhost", "right") == {"correct": True, "message": "Password is correct"}
    assert check("carla@localhost", "wrong") == {"correct": False, "message": "Password is incorrect"}
    assert ask.fails("account", "checkPassword", "correct", kind="query", user="nobody@localhost",
                     password="x") == "user_does_not_exist"


def test_hashes_of_passwords_cannot_be_checked(ask, make):
    make("claus")
    def code(method):
        return ask.fails("account", "checkPasswordHash", "correct", kind="query", user="claus@localhost",
                         passwordHash="5ebe2294ecd0e0f08eab7690d2a6ee69", hashMethod=method)
    assert code("md5") == code("sha") == "wrong_user"
    assert code("crc32") == "wrong_method"


def test_a_user_exists_or_not(ask, make):
    make("dora")
    assert ask.query("account", "checkUser", "exist message", user="dora@localhost") == {
        "exist": True, "message": "User dora@localhost exists"}
    for jid in ("nobody@localhost", "dora@nowhere.example"):
        assert not ask.query("account", "checkUser", "exist", user=jid)["exist"]


# -- changing

def test_a_removed_user_is_gone_with_all_that_was_kept(ask, make, node, login):
    make("emil")
    emil = login("emil")
    emil.iq("set", EMPTY.replace("/>", ">kept</a>").replace("</a></a>", "</a>"))
    assert ask.mutation("account", "removeUser", PAYLOAD, user="emil@localhost/x") == {
        "jid": "emil@localhost", "message": "User emil@localhost successfully unregistered"}
    emil.closed("<not-authorized")
    assert cannot_log_in(node, "emil")
    make("emil")
    assert "kept" not in login("emil").iq("get", EMPTY)


def test_a_user_who_is_not_there_cannot_be_removed(ask):
    assert ask.fails("account", "removeUser", PAYLOAD, user="nobody@localhost") == "not_allowed"
    assert ask.fails("account", "removeUser", PAYLOAD, user="x@nowhere.example") == "invalid_jid"


def test_a_changed_password_is_the_one_that_counts(ask, make, node, login):
    make("frida", "old")
    assert ask.mutation("account", "changeUserPassword", PAYLOAD, user="frida@localhost", newPassword="new") == {
        "jid": "frida@localhost", "message": "Password changed"}
    login("frida", "new")
    assert cannot_log_in(node, "frida", "old")


def test_passwords_that_cannot_be_changed(ask, make):
    make("gustav")
    def code(user, password="new"):
        return ask.fails("account", "changeUserPassword", PAYLOAD, user=user, newPassword=password)
    assert code("gustav@localhost", "") == "empty_password"
    assert code("nobody@localhost") == "not_allowed"
    assert code("x@nowhere.example") == "invalid_jid"


def test_who_is_banned_is_shut_out(ask, make, node, login):
    make("hans")
    hans = login("hans")
    assert ask.mutation("account", "banUser", PAYLOAD, user="hans@localhost", reason="spam & more") == {
        "jid": "hans@localhost", "message": "User hans@localhost successfully banned"}
    hans.closed("<conflict.*spam &amp; more")
    assert cannot_log_in(node, "hans")
    assert ask.query("account", "checkUser", "exist", user="hans@localhost")["exist"]
    assert ask.fails("account", "banUser", PAYLOAD, user="nobody@localhost", reason="x") == "user_does_not_exist"


# -- files

IMPORT = "status created existing notAllowed invalidJID emptyPassword invalidRecord"


def test_accounts_come_from_a_file(ask, make, node, login):
    make("ida")
    file = node.folder / "accounts.csv"
    file.write_text('new1,localhost,one\r\n"New2",localhost,"two, ""and"" three"\nida,localhost,x\nno,nowhere.example,x\n'
                    'a b,localhost,x\nempty,localhost,\nonly,two\nlast,other.example,end')
    payload = ask.mutation("account", "importUsers", IMPORT, filename=str(file))
    payload["created"].sort()           # several are made at a time
    assert payload == {
        "status": "Completed", "created": ["last@other.example", "new1@localhost", "new2@localhost"],
        "existing": ["ida@localhost"], "notAllowed": ["no@nowhere.example"], "invalidJID": ["a b@localhost"],
        "emptyPassword": ["empty@localhost"], "invalidRecord": ["(a line without name, domain and password)"]}
    login("new1", "one")
    login("new2", 'two, "and" three')
    assert cannot_log_in(node, "ida", "x")


def test_files_that_cannot_be_read(ask, node):
    big = node.folder / "big.csv"
    big.write_text("x" * 2000)
    def code(name):
        return ask.fails("account", "importUsers", IMPORT, filename=str(name))
    assert code(big) == "file_too_large"
    assert code(node.folder / "none.csv") == "file_not_found"
    assert code(node.folder) == "file_not_found"


# -- users for themselves

def test_a_user_changes_the_own_password(make, node, login):
    make("jana", "old")
    assert as_user(node, "jana", "old").mutation("account", "changePassword", newPassword="new") == "Password changed"
    login("jana", "new")
    assert cannot_log_in(node, "jana", "old")
    assert as_user(node, "jana", "new").fails("account", "changePassword", newPassword="") == "empty_password"


def test_a_user_removes_the_own_account(make, node, login):
    make("karl")
    karl = login("karl")
    assert "unregistered" in as_user(node, "karl").mutation("account", "unregister")
    karl.closed("<not-authorized")
    assert cannot_log_in(node, "karl")


def test_a_user_has_no_say_about_others(make, node):
    make("lena")
    answer = as_user(node, "lena").ask("mutation", "account", "removeUser", "jid", user="anna@localhost")
    assert answer.status == 400 and "data" not in answer.json
    anonymous = Fields(api.Api(node.port("graphql_user")))
    answer = anonymous.ask("mutation", "account", "changePassword", newPassword="x")
    assert answer.status == 401 and answer.codes == ["no_permissions"]


def test_the_query_of_a_user_s_account_has_the_field_that_mongooseim_has(make, node):
    make("mona")
    assert as_user(node, "mona").query("account", "field") is None


def test_no_password_is_in_the_log(ask, make, node):
    make("marta", "needle-one")
    ask.mutation("account", "changeUserPassword", PAYLOAD, user="marta@localhost", newPassword="needle-two")
    ask.query("account", "checkPassword", "correct", user="marta@localhost", password="needle-three")
    as_user(node, "marta", "needle-two").mutation("account", "changePassword", newPassword="needle-four")
    assert "marta@localhost" in node.log() and "needle" not in node.log()
