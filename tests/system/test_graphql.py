# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The GraphQL API: what administrators, users and modules may rely on, whatever the categories are."""
import json

import pytest

import api
import extra
import support

CONFIG = """
[meerkat]
control = {dir}/control.sock
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:http]
listen = 127.0.0.1:0
[module:graphql]
user_listen = 127.0.0.1:0
admin_listen = 127.0.0.1:0
admin_password = geheim
[module:t_graphql]
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphql")
    modules = extra.module_folder(folder)
    extra.compile_module(modules, "t_graphql", libs=["-ljansson"], MK_NAME="t_graphql")
    node = support.Node(folder, CONFIG, args=["--set", f"meerkat.module_path={modules}"])
    node.modules = modules
    node.start()
    yield node
    node.stop()


@pytest.fixture
def admin(node):
    return api.admin(node)


def echo(ask, arguments, variables=None, declared=""):
    answer = ask(f"query{declared} {{ t {{ echo({arguments}) }} }}", variables)
    return json.loads(answer.data["t"]["echo"])


# -- who may ask

def test_the_unix_socket_needs_no_password(admin):
    assert admin("{ checkAuth { authStatus authType domain } }").data["checkAuth"] == {
        "authStatus": "AUTHORIZED", "authType": "ADMIN", "domain": None}


def test_the_administrator_has_a_name_and_a_password_on_tcp(node):
    ask = api.Api(node.port("graphql_admin"), "admin", "geheim")
    assert ask("{ checkAuth { authType } }").data == {"checkAuth": {"authType": "ADMIN"}}


def test_a_user_asks_with_the_password_of_the_account(node):
    ask = api.user(node, "alice")
    assert ask("{ checkAuth { username authStatus } }").data["checkAuth"] == {
        "username": "alice@localhost", "authStatus": "AUTHORIZED"}
    assert ask("{ t { me } }").data["t"]["me"] == "alice@localhost"


# -- values

def test_arguments_arrive_as_they_were_given(admin):
    assert echo(admin, 'int: -5, float: 1.5, string: "é\\u{1F600}", boolean: true, id: 4, color: GREEN, list: [1, 2]') == {
        "int": -5, "float": 1.5, "string": "é😀", "boolean": True, "id": "4", "color": "GREEN", "list": [1, 2],
        "preset": 7}


def test_objects_inside_lists_fail_alone(admin):
    answer = admin("{ t { items { id text } } }")
    assert answer.status == 200
    assert answer.json["data"]["t"]["items"] == [{"id": "1", "text": "text"}, None, None, {"id": "4", "text": "text"}]
    assert [(e["path"], e["extensions"]["code"]) for e in answer.errors] == [
        (["t", "items", 1], "item_lost"), (["t", "items", 2, "text"], "null_value")]


def test_answers_that_come_late_are_in_the_order_of_the_query(admin):
    answer = admin("{ t { a: slow(ms: 60) b: slow(ms: 1) pets { ... on TCat { name slow } ... on TDog { name } } } }")
    assert answer.text == ('{"data":{"t":{"a":60,"b":1,"pets":[{"name":"Rex"},{"name":"Tom","slow":9}]}}}')


def test_mutations_are_done_one_after_the_other(admin):
    query = "mutation { t { a: note(text: \"a\", ms: 60) b: note(text: \"b\", ms: 1) } u: t { c: note(text: \"c\") } }"
    assert admin(query).data == {"t": {"a": "a", "b": "b"}, "u": {"c": "c"}}
    assert admin("{ t { log } }").data["t"]["log"].split()[-3:] == ["a", "b", "c"]
