# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The GraphQL API: what administrators, users and modules may rely on, whatever the categories are."""
import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import urllib.parse

import pytest

import api
import extra
import support
from cluster import Cluster

HOSTS = "localhost, example.org"
CONFIG = """
[meerkat]
control = {dir}/control.sock
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:register]
enabled = yes
rate = 0
[module:http]
listen = 127.0.0.1:0
[module:graphql]
user_listen = 127.0.0.1:0
admin_listen = 127.0.0.1:0
domain_listen = 127.0.0.1:0
admin_password = geheim
keepalive = 100ms
[module:t_graphql]
"""
AUTH = "{ checkAuth { authStatus } }"


def make_node(folder, config=CONFIG):
    modules = extra.module_folder(folder)
    extra.compile_module(modules, "t_graphql", libs=["-ljansson"], MK_NAME="t_graphql")
    node = support.Node(folder, config, hosts=HOSTS, args=["--set", f"meerkat.module_path={modules}"])
    node.modules = modules
    return node


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = make_node(tmp_path_factory.mktemp("graphql"))
    node.start()
    yield node
    node.stop()


@pytest.fixture
def own(tmp_path):
    """own(config): a node of the test's own."""
    nodes = []

    def start(config=CONFIG):
        node = make_node(tmp_path / str(len(nodes)), config)
        nodes.append(node)
        return node.start()

    yield start
    for node in nodes:
        node.stop()


@pytest.fixture
def admin(node):
    return api.admin(node)


def tcp_admin(node, password="geheim"):
    return api.Api(node.port("graphql_admin"), "admin", password)


def domain_admin(node, domain="localhost", place="graphql_admin"):
    return api.Api(node.port(place), f"admin@{domain}", f"of {domain}")


def metric(node, name):
    match = re.search(rf"^(?:meerkat_)?{re.escape(name)}\s(\S+)$", node.control("metrics"), re.M)
    return float(match.group(1)) if match else 0


def echo(ask, arguments, variables=None, declared=""):
    answer = ask(f"query{declared} {{ t {{ echo({arguments}) }} }}", variables)
    return json.loads(answer.data["t"]["echo"])


# -- who may ask

def test_the_unix_socket_needs_no_password(admin):
    assert admin("{ checkAuth { authStatus authType domain } }").data["checkAuth"] == {
        "authStatus": "AUTHORIZED", "authType": "ADMIN", "domain": None}


def test_the_administrator_has_a_name_and_a_password_on_tcp(node):
    assert tcp_admin(node)("{ checkAuth { authType } }").data == {"checkAuth": {"authType": "ADMIN"}}
    for user, password in (("admin", "wrong"), ("root", "geheim"), ("admin", ""), ("", "")):
        answer = api.Api(node.port("graphql_admin"))(AUTH, headers=api.basic(user, password))
        assert (answer.status, answer.codes) == (401, ["wrong_credentials"])
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_a_user_asks_with_the_password_of_the_account(node):
    ask = api.user(node, "alice")
    assert ask("{ checkAuth { username authStatus } }").data["checkAuth"] == {
        "username": "alice@localhost", "authStatus": "AUTHORIZED"}
    assert ask("{ t { me } }").data["t"]["me"] == "alice@localhost"
    assert api.user(node, "ALICE")("{ t { me } }").data["t"]["me"] == "alice@localhost"


@pytest.mark.parametrize("name, password", [
    ("alice@localhost", "wrong"), ("nobody@localhost", "secret"), ("alice@nowhere", "secret"), ("alice", "secret"),
    ("localhost", "secret"), ("alice@localhost/home", "secret"), ("alice@localhost", ""), ("", "secret")])
def test_who_is_not_a_user_learns_nothing_else(node, name, password):
    answer = api.Api(node.port("graphql_user"))(AUTH, headers=api.basic(name, password))
    assert (answer.status, answer.codes) == (401, ["wrong_credentials"])
    assert "Basic" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("header", ["Bearer x", "Basic", "Basic !!!", "Basic " + "YWxpY2U=", "Basic /w=="])
def test_a_malformed_authorization_header_is_refused(node, header):
    answer = api.Api(node.port("graphql_user"))(AUTH, headers={"Authorization": header})
    assert (answer.status, answer.codes) == (401, ["request_error"])


@pytest.mark.parametrize("place", ["graphql_user", "graphql_admin"])
def test_without_credentials_there_is_introspection_and_checkauth_alone(node, place):
    ask = api.Api(node.port(place))
    assert ask("{ checkAuth { authStatus } __typename __schema { queryType { name } } __type(name: \"JID\") { kind } }"
               ).data["checkAuth"] == {"authStatus": "UNAUTHORIZED"}
    answer = ask("{ checkAuth { authStatus } t { asked } }")
    assert (answer.status, answer.codes) == (401, ["no_permissions"])
    assert "data" not in answer.json and "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("query", [
    "query Named { t { asked } }",
    "query Named { ...F } fragment F on AdminQuery { t { ... on TQuery { asked } } }",
    "mutation M { t { note(text: \"x\") } }"])
def test_a_named_operation_does_not_slip_past_the_permissions(node, query):
    answer = api.Api(node.port("graphql_admin"))(query)
    assert (answer.status, answer.codes) == (401, ["no_permissions"])
    assert answer.errors[0]["path"] == [re.search(r"(?:query|mutation) (\w+)", query).group(1)]


def test_the_permissions_are_those_of_the_operation_that_is_executed(node):
    ask = api.Api(node.port("graphql_admin"))
    both = "query Open { checkAuth { authStatus } } query Closed { t { asked } }"
    assert ask(both, operation="Open").data == {"checkAuth": {"authStatus": "UNAUTHORIZED"}}
    assert ask(both, operation="Closed").status == 401
    assert ask(both).codes == ["more_than_one_operation"]
    assert ask("{ t @skip(if: true) { asked } checkAuth { authStatus } }").data["checkAuth"]


def test_without_a_password_the_administrators_api_is_closed_on_tcp(own):
    node = own(CONFIG.replace("admin_password = geheim\n", ""))
    assert "no API for administrators on TCP" in node.log()
    assert "listening for 'graphql_admin' on 127" not in node.log()
    assert api.admin(node)(AUTH).data


def test_each_endpoint_has_addresses_with_tls(own):
    node = own(CONFIG.replace("[module:graphql]\n", "[module:tls]\nself_signed = yes\n[module:graphql]\nuser_listen_tls = 127.0.0.1:0\n"
                              "admin_listen_tls = 127.0.0.1:0\ndomain_listen_tls = 127.0.0.1:0\n"))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for place, who in (("user", api.basic("alice@localhost", "secret")), ("admin", api.basic("admin", "geheim")),
                       ("domain", api.basic("admin@localhost", "of localhost"))):
        c = http.client.HTTPSConnection("127.0.0.1", node.port(f"graphql_{place} with TLS"), timeout=support.PATIENCE, context=context)
        c.request("POST", "/api/graphql", AUTH, {**who, "Content-Type": "application/graphql"})
        assert json.loads(c.getresponse().read()) == {"data": {"checkAuth": {"authStatus": "AUTHORIZED"}}}
        c.close()


# -- administrators of one domain

@pytest.mark.parametrize("place", ["graphql_admin", "graphql_domain"])
def test_the_administrator_of_a_domain_sees_that_domain(node, place):
    ask = domain_admin(node, "localhost", place)
    assert ask("{ checkAuth { authStatus authType domain } }").data["checkAuth"] == {
        "authStatus": "AUTHORIZED", "authType": "DOMAIN_ADMIN", "domain": "localhost"}
    assert ask('{ t { ofDomain(domain: "LocalHost") } }').data
    assert api.Api(node.port(place), "admin@localhost", "of example.org")(AUTH).codes == ["wrong_credentials"]


def test_the_servers_administrator_does_not_come_in_by_the_domains_door(node):
    assert api.Api(node.port("graphql_domain"), "admin", "geheim")(AUTH).status == 401


@pytest.mark.parametrize("field", [
    'ofDomain(domain: "example.org")', "ofDomain", "ofDomain(domain: null)", "global",
    'ofUsers(users: ["a@localhost", "b@example.org"])', "ofUsers(users: [])",
    'ofPoint(point: {users: ["a@example.org"]})', "ofPoint(point: {})", 'ofPoint(point: {users: ["a@localhost", "b@example.org"]})'])
def test_the_administrator_of_a_domain_reaches_no_other(node, field):
    answer = domain_admin(node)(f"{{ t {{ asked {field} }} }}")
    assert (answer.status, answer.codes) == (401, ["no_permissions"])
    assert tcp_admin(node)(f"{{ t {{ {field} }} }}").data


@pytest.mark.parametrize("field", ['ofDomain(domain: "localhost")', 'ofUsers(users: ["a@localhost", "b@localhost/x"])',
                                   'ofUsers(users: "a@localhost")', 'ofPoint(point: {users: ["a@localhost"]})', "asked"])
def test_the_administrator_of_a_domain_reaches_all_in_it(node, field):
    assert domain_admin(node)(f"{{ t {{ {field} }} }}").data


def test_domains_are_checked_in_variables_too(node):
    query = "query ($d: DomainName, $u: [JID!]!) { t { ofDomain(domain: $d) ofUsers(users: $u) } }"
    ask = domain_admin(node)
    assert ask(query, {"d": "localhost", "u": ["x@localhost"]}).data
    assert ask(query, {"d": "localhost", "u": ["x@example.org"]}).status == 401
    assert ask(query, {"d": "example.org", "u": ["x@localhost"]}).status == 401
    assert ask(query, {"u": ["x@localhost"]}).status == 401


def test_what_skip_leaves_out_needs_no_permission(node):
    query = "query ($no: Boolean!) { t { asked global @include(if: $no) } }"
    assert domain_admin(node)(query, {"no": False}).data
    assert domain_admin(node)(query, {"no": True}).status == 401


def test_categories_can_be_left_out_of_an_endpoint(own):
    node = own(CONFIG.replace("[module:graphql]\n", "[module:graphql]\nuser_categories = stanza, roster\nadmin_categories = session\n"))
    for ask in (api.user(node, "alice"), tcp_admin(node)):
        answer = ask("{ t { asked } checkAuth { authStatus } }")
        assert answer.json["data"] == {"t": None, "checkAuth": {"authStatus": "AUTHORIZED"}}
        assert answer.errors[0]["extensions"] == {"code": "category_disabled", "category": "t"}
    for ask in (api.admin(node), domain_admin(node)):
        assert ask("{ t { asked } }").data


# -- requests

def test_a_query_comes_by_get_and_by_post_in_three_forms(node):
    ask = api.user(node, "alice")
    query = "query Q($x: Boolean!) { t { me @include(if: $x) } }"
    variables = json.dumps({"x": True})
    form = urllib.parse.urlencode({"query": query, "variables": variables, "operationName": "Q"})
    answers = [
        ask.get(query, variables=variables, operationName="Q"),
        ask(query, {"x": True}, "Q"),
        ask(query, variables, "Q"),
        ask.request("POST", "/api/graphql?" + urllib.parse.urlencode({"variables": variables}), query,
                    {"Content-Type": "application/graphql"}),
        ask.request("POST", body=form, headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}),
    ]
    assert [a.data for a in answers] == 5 * [{"t": {"me": "alice@localhost"}}]
    assert {a.headers["Content-Type"] for a in answers} == {"application/json; charset=utf-8"}


def test_a_client_that_knows_the_newer_media_type_gets_it(admin):
    answer = admin(AUTH, headers={"Accept": "application/graphql-response+json, application/json;q=0.9"})
    assert answer.headers["Content-Type"].startswith("application/graphql-response+json")


@pytest.mark.parametrize("body, code", [
    ("", "invalid_json_body"), ("{", "invalid_json_body"), ("5", "invalid_json_body"), ("{}", "no_query_supplied"),
    ('{"query": ""}', "no_query_supplied"), ('{"query": null}', "no_query_supplied"),
    ('{"query": 5}', "invalid_query_parameters"), ('{"query": "{a}", "operationName": 5}', "invalid_query_parameters"),
    ('{"query": "{a}", "variables": 5}', "variables_invalid_json"),
    ('{"query": "{a}", "variables": "5"}', "variables_invalid_json"),
    ('{"query": "{a}", "variables": "{"}', "variables_invalid_json"),
    ('[{"query": "{checkAuth{authStatus}}"}]', "batching_not_supported"),
    ('{"query": "{"}', "parser_error"), ('{"query": "{ a(b: \\"x) }"}', "scanner_error"),
    ('{"query": "{ nothing }"}', "unknown_field"), ('{"query": "query Q { checkAuth { authStatus } }", "operationName": "R"}', "operation_not_found")])
def test_what_is_no_request_gets_the_exact_error(admin, body, code):
    answer = admin.request("POST", body=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.codes[0]) == (400, code)
    assert "data" not in answer.json


def test_methods_and_types_that_are_not_served_are_told_so(admin):
    answer = admin.request("PUT", body="{}", headers={"Content-Type": "application/json"})
    assert answer.status == 405 and "POST" in answer.headers["Allow"]
    # Pages of other sites can send the first two, and no type at all.
    for type_ in ("text/plain", "multipart/form-data; boundary=x", None, "application/xml", "application/jsonish"):
        answer = admin.request("POST", body=f'{{"query": "{AUTH}"}}', headers={"Content-Type": type_} if type_ else {})
        assert (answer.status, answer.codes) == (415, ["unsupported_media_type"])
    assert admin.get("").codes == ["no_query_supplied"]


def test_any_host_header_will_do(admin):
    assert admin(AUTH, headers={"Host": "elsewhere.example"}).data


NOTE = 'mutation { t { note(text: "by get") } }'


def test_a_mutation_by_get_needs_credentials(node):
    assert tcp_admin(node).get(NOTE).data == {"t": {"note": "by get"}}
    assert api.Api(node.port("graphql_admin")).get(NOTE).status == 401


@pytest.mark.parametrize("headers, status", [
    ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Sec-Fetch-Site": "none"}, 200), ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
    ({"Origin": "http://{host}"}, 200), ({"Referer": "https://evil.example/page"}, 403), ({"Referer": "http://{host}/console"}, 200),
    ({}, 200)])
def test_a_page_of_another_site_cannot_make_a_browser_change_anything(node, headers, status):
    ask = tcp_admin(node)
    headers = {k: v.replace("{host}", f"127.0.0.1:{ask.where}") for k, v in headers.items()}
    form = urllib.parse.urlencode({"query": NOTE})
    for answer in (ask.get(NOTE, headers=headers),
                   ask.request("POST", body=form, headers={**headers, "Content-Type": "application/x-www-form-urlencoded"})):
        assert answer.status == status
        assert status == 200 or answer.codes == ["cross_site_request"]
    ask.headers |= headers
    events = Events(ask, "subscription { t { ticks(count: 1) { number } } }")
    assert events.response.status == status
    events.connection.close()
    assert ask.get(AUTH).status == 200


# -- values

def test_arguments_arrive_as_they_were_given(admin):
    assert echo(admin, 'int: -5, float: 1.5, string: "é\\u{1F600}", boolean: true, id: 4, color: GREEN, list: [1, 2]') == {
        "int": -5, "float": 1.5, "string": "é😀", "boolean": True, "id": "4", "color": "GREEN", "list": [1, 2],
        "preset": 7}


@pytest.mark.parametrize("scalar, argument, given, taken", [
    ("JID", "jid", "Alice@LocalHost/Home", "alice@localhost/Home"), ("JID", "jid", "alice@localhost", "alice@localhost"),
    ("BareJID", "bare", "ALICE@localhost", "alice@localhost"), ("FullJID", "full", "a@b/c", "a@b/c"),
    ("UserName", "user", "Al", "al"), ("DomainName", "domain", "Example.ORG", "example.org"),
    ("ResourceName", "resource", "My Phone", "My Phone"), ("NodeName", "node", "self", "self"),
    ("NodeName", "node", "m1@host", "m1@host"), ("NonEmptyString", "text", " ", " "), ("PosInt", "pos", 1, 1),
    ("NonNegInt", "count", 0, 0), ("Int", "int", 2**53, 2**53), ("Int", "int", -2**53, -2**53),
    ("DateTime", "time", "2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00.000000Z"),
    ("DateTime", "time", "2024-05-01 10:00:00.5z", "2024-05-01T10:00:00.500000Z"),
    ("XmlElement", "xml", "<a xmlns='x'><b/>t</a>", "<a xmlns='x'><b/>t</a>"), ("TEven", "even", 8, 4)])
def test_scalars_are_prepared(admin, scalar, argument, given, taken):
    assert echo(admin, f"{argument}: {json.dumps(given)}")[argument] == taken
    assert echo(admin, f"{argument}: $v", {"v": given}, f"($v: {scalar})")[argument] == taken


@pytest.mark.parametrize("scalar, argument, given, why", [
    ("JID", "jid", "", "failed_to_parse_jid"), ("JID", "jid", "a@@b", "failed_to_parse_jid"),
    ("JID", "jid", "localhost", "jid_without_local_part"), ("JID", "jid", 5, "non string"),
    ("BareJID", "bare", "a@b/c", "jid_with_resource"), ("FullJID", "full", "a@b", "jid_without_resource"),
    ("UserName", "user", "", "empty_user_name"), ("UserName", "user", "a@b", "failed_to_parse_user_name"),
    ("DomainName", "domain", "", "empty_domain_name"), ("DomainName", "domain", "a b", "failed_to_parse_domain_name"),
    ("ResourceName", "resource", "", "empty_resource_name"), ("NodeName", "node", "", "empty_node_name"),
    ("NodeName", "node", "m1", "incorrect_node_name"), ("NonEmptyString", "text", "", "empty"),
    ("PosInt", "pos", 0, "non-positive"), ("NonNegInt", "count", -1, "negative"), ("Int", "int", 2**53 + 1, "2^53"),
    ("DateTime", "time", "yesterday", "RFC 3339"), ("DateTime", "time", "2024-02-30T00:00:00Z", "RFC 3339"),
    ("XmlElement", "xml", "<a>", "well-formed"), ("XmlElement", "xml", "<a/><b/>", "well-formed"), ("TEven", "even", 3, "odd"),
    ("String", "string", "nul\0", "NUL")])
def test_scalars_refuse_what_is_none(admin, scalar, argument, given, why):
    answer = admin(f"query ($v: {scalar}) {{ t {{ echo({argument}: $v) }} }}", {"v": given})
    assert (answer.status, answer.codes) == (400, ["input_coercion"])
    literal = json.dumps(given)
    answer = admin(f"{{ t {{ echo({argument}: {literal}) }} }}")
    assert (answer.status, answer.codes) == (400, ["input_coercion"])
    assert why in answer.errors[0]["message"]


def test_objects_inside_lists_fail_alone(admin):
    answer = admin("{ t { items { id text } } }")
    assert answer.status == 200
    assert answer.json["data"]["t"]["items"] == [{"id": "1", "text": "text"}, None, None, {"id": "4", "text": "text"}]
    assert [(e["path"], e["extensions"]) for e in answer.errors] == [
        (["t", "items", 1], {"item": "two", "code": "item_lost"}), (["t", "items", 2, "text"], {"code": "null_value"})]


def test_null_goes_up_to_what_may_be_null(admin):
    answer = admin("{ t { strict { id strict } fails asked } checkAuth { authType } }")
    assert answer.json["data"] == {"t": None, "checkAuth": {"authType": "ADMIN"}}
    assert {tuple(e["path"]) for e in answer.errors} <= {("t", "strict", "strict"), ("t", "fails")}
    assert admin("{ t { odd } }").codes == ["invalid_enum_output"]


def test_answers_that_come_late_are_in_the_order_of_the_query(admin):
    answer = admin("{ t { a: slow(ms: 60) b: slow(ms: 1) pets { ... on TCat { name slow } ... on TDog { name } } } }")
    assert answer.text == ('{"data":{"t":{"a":60,"b":1,"pets":[{"name":"Rex"},{"name":"Tom","slow":9}]}}}')


def test_mutations_are_done_one_after_the_other(admin):
    query = "mutation { t { a: note(text: \"a\", ms: 60) b: note(text: \"b\", ms: 1) } u: t { c: note(text: \"c\") } }"
    assert admin(query).data == {"t": {"a": "a", "b": "b"}, "u": {"c": "c"}}
    assert admin("{ t { log } }").data["t"]["log"].split()[-3:] == ["a", "b", "c"]


# -- limits

@pytest.mark.parametrize("limit, value, query, code", [
    ("max_query", "1K", "{ checkAuth { authStatus } " + " " * 1100 + "}", "query_too_long"),
    ("max_tokens", "100", "{" + " __typename" * 100 + "}", "too_many_tokens"),
    ("max_depth", "3", "{ t { pets { ... on TDog { __typename } } strict { id } } __schema { queryType { fields { name } } } }", "query_too_deep"),
    ("max_fields", "10", "{ ...F ...G } fragment F on AdminQuery { __typename t { " + "asked " * 9 + "} } fragment G on AdminQuery { ...F }", "too_many_fields"),
    ("max_aliases", "1", "{ a: __typename b: __typename }", "too_many_aliases"),
    ("max_complexity", "10", "{ t { pets { __typename } } }", "query_too_complex"),
    ("max_introspection", "1", "{ __schema { types { fields { type { fields { name } } } } } }", "introspection_too_deep")], ids=lambda v: v if v.startswith("max_") else "")
def test_what_asks_for_too_much_is_refused_and_counted(own, limit, value, query, code):
    node = own(CONFIG.replace("[module:graphql]\n", f"[module:graphql]\n{limit} = {value}\n"))
    answer = api.admin(node)(query)
    assert (answer.status, answer.codes) == (400, [code])
    assert metric(node, f'graphql_limited_total{{limit="{limit[4:]}"}}') == 1
    assert api.admin(node)("{ __typename }").data


DOUBLING = "".join(f" fragment F{i} on AdminQuery {{ ...F{i + 1} a{i}: t {{ pets {{ __typename }} }} ...F{i + 1} }}"
                   for i in range(60)) + " fragment F60 on AdminQuery { __typename }"
CHAIN = "".join(f" fragment F{i} on AdminQuery {{ ...F{i + 1} }}" for i in range(3000)) + \
    " fragment F3000 on AdminQuery { __typename }"


@pytest.mark.parametrize("name, query, codes", [
    ("braces", "{" * 10**6, {"parser_error"}), ("fields in each other", "{a" * 10**6, {"query_too_deep"}),
    ("brackets", "{ t { echo(list: " + "[" * 10**6, {"query_too_deep"}),
    ("objects", "{ t { echo(point: " + "{inner:" * 10**5, {"query_too_deep"}),
    ("types", "query ($v: " + "[" * 10**6, {"query_too_deep"}),
    ("a long string", '{ t { echo(string: "' + "x" * 10**7 + '") } }', set()),
    ("a string that does not end", '{ t { echo(string: "' + "x" * 10**7, {"scanner_error"}),
    ("a block string that does not end", '{ t { echo(string: """' + '\\"""' * 10**6, {"scanner_error"}),
    ("a long number", "{ t { echo(int: " + "9" * 10**6 + ") } }", {"input_coercion"}),
    ("a long name", "{ " + "x" * 10**7 + " }", {"unknown_field"}), ("comments", "#\n" * 5 * 10**6, {"parser_error"}),
    ("the same field", "{ " + "__typename " * 10**5 + "}", {"query_too_complex", "too_many_fields"}),
    ("fields with arguments", "{ t { " + "echo(int: 1) " * 20000 + "} }", {"query_too_complex"}),
    ("aliases", "{ " + "".join(f"a{i}: __typename " for i in range(50000)) + "}", {"too_many_fields"}),
    ("fragments that double", "{ ...F0 }" + DOUBLING, {"too_many_fields"}),
    ("fragments in a chain", "{ ...F0 }" + CHAIN, {"query_too_deep"}),
    ("fragments in a circle", "{ ...A } fragment A on AdminQuery { ...B } fragment B on AdminQuery { ...A }", {"cycles_in_fragments"}),
    ("variables", "query (" + "".join(f"$v{i}: Int " for i in range(20000)) + ") { __typename }", {"unused_variable", "too_many_errors"}),
    ("directives", "{ __typename " + "@skip(if: false) " * 20000 + "}", {"directives_not_unique", "too_many_errors"}),
    ("one object's fields", "{ t { echo(point: {" + "x: 1 " * 20000 + "}) } }", {"not_unique", "too_many_errors"}),
], ids=lambda v: v if isinstance(v, str) and len(v) < 40 else "")
def test_queries_made_to_exhaust_are_answered_at_once(hardened, name, query, codes):
    answer = api.admin(hardened)(query)
    assert hardened.process.poll() is None, name
    assert set(answer.codes if "errors" in answer.json else []) == codes or (codes and set(answer.codes) <= codes)
    assert len(answer.text) < 200000 or not codes
    assert api.admin(hardened)("{ __typename }").data


@pytest.mark.parametrize("depth, status", [(500, 200), (2000, 200), (5000, 400), (10**6, 400)])
def test_variables_that_lie_deep_in_each_other_are_bounded(hardened, depth, status):
    value = '{"x": 1, "inner": ' * depth + "null" + "}" * depth
    body = f'{{"query": "query ($p: TPoint) {{ t {{ echo(point: $p) }} }}", "variables": {{"p": {value}}}}}'
    answer = api.admin(hardened).request("POST", body=body, headers={"Content-Type": "application/json"})
    assert answer.status == status
    assert status == 200 or answer.codes == ["invalid_json_body"]
    assert api.admin(hardened)("{ __typename }").data


@pytest.fixture(scope="module")
def hardened(tmp_path_factory):
    """A node that lets long queries in, so that the other limits have to do."""
    node = make_node(tmp_path_factory.mktemp("hardened"), CONFIG.replace(
        "[module:graphql]\n", "[module:graphql]\nmax_query = 16M\nmax_tokens = 1000000\n"))
    node.start()
    yield node
    node.stop()


def test_a_body_that_no_query_could_need_is_cut_off(node, admin):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(support.PATIENCE)
        s.connect(str(admin.where))
        s.sendall(b"POST /api/graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n")
        assert b" 413 " in s.recv(100)


# -- passwords

def test_wrong_passwords_lock_the_account_for_streams_and_requests_alike(own):
    node = own(CONFIG.replace("[module:sasl]\n", "[module:sasl]\naccount_failures = 3\n"))
    wrong = api.user(node, "alice", "wrong")
    assert [wrong(AUTH).status for _ in range(4)] == [401, 401, 401, 429]
    assert api.user(node, "alice")(AUTH).codes == ["too_many_wrong_passwords"]
    assert api.user(node, "bob")(AUTH).data
    client = node.client()
    client.send(support.auth("PLAIN", "\0alice\0secret"))
    assert "temporary-auth-failure" in client.until("</failure>")
    client.drop()


def test_wrong_passwords_lock_the_address(own):
    node = own(CONFIG.replace("[module:sasl]\n", "[module:sasl]\naddress_failures = 3\nthrottle_loopback = yes\n"))
    for name in ("a", "b", "c"):
        assert api.user(node, name)(AUTH).status == 401
    assert api.user(node, "alice")(AUTH).status == 429
    assert tcp_admin(node)(AUTH).status == 429
    assert api.admin(node)(AUTH).data


def test_wrong_passwords_of_administrators_are_throttled(own):
    node = own(CONFIG.replace("[module:sasl]\n", "[module:sasl]\naccount_failures = 2\n"))
    assert [tcp_admin(node, "wrong")(AUTH).status for _ in range(3)] == [401, 401, 429]
    assert tcp_admin(node)(AUTH).status == 429
    wrong = api.Api(node.port("graphql_admin"), "admin@localhost", "wrong")
    assert [wrong(AUTH).status for _ in range(3)] == [401, 401, 429]
    assert domain_admin(node, "example.org")(AUTH).data


def register(client, inner):
    answer = client.iq("set", f"<query xmlns='jabber:iq:register'>{inner}</query>", to=client.host)
    assert "type='result'" in answer, answer


def test_a_changed_password_is_forgotten_at_once(own):
    node = own()
    assert api.user(node, "bob")(AUTH).data
    before = metric(node, "graphql_passwords_remembered_total")
    assert api.user(node, "bob")(AUTH).data
    assert metric(node, "graphql_passwords_remembered_total") == before + 1
    client = node.client("bob")
    register(client, "<username>bob</username><password>quite-fresh</password>")
    assert api.user(node, "bob")(AUTH).status == 401
    assert api.user(node, "bob", "quite-fresh")(AUTH).data
    client.drop()


def test_an_account_that_is_removed_is_forgotten_at_once(own):
    node = own()
    client = node.client("bob")
    assert api.user(node, "bob")(AUTH).data
    register(client, "<remove/>")
    assert api.user(node, "bob")(AUTH).status == 401
    client.drop()


def test_a_changed_password_is_forgotten_on_all_nodes(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite", more="""
[register]
enabled = yes
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
remember = 5m
""").up(2)
    try:
        there = api.user(cluster.nodes[1], "u0")
        assert there(AUTH).data and there(AUTH).data
        assert metric(cluster.nodes[1], "graphql_passwords_remembered_total") == 1
        register(cluster.login(0, "u0"), "<username>u0</username><password>quite-fresh</password>")
        support.wait_for(lambda: there(AUTH).status == 401, "the other node to forget")
        assert api.user(cluster.nodes[1], "u0", "quite-fresh")(AUTH).data
    finally:
        cluster.down()


def test_no_password_is_ever_logged(own):
    node = own("[log]\nlevel = debug\n" + CONFIG.replace("geheim", "pa55w0rd-admin"))
    for password in ("pa55w0rd-admin", "pa55w0rd-wrong"):
        tcp_admin(node, password)(AUTH)
        api.user(node, "alice", password)(AUTH)
        api.Api(node.port("graphql_admin"), "admin@localhost", password)(AUTH)
    api.admin(node)('{ t { echo(string: "pa55w0rd-argument") } }')
    assert "pa55w0rd" not in node.log()


# -- fields that are not answered

IMPATIENT = CONFIG.replace("keepalive = 100ms", "keepalive = 100ms\nanswer_timeout = 200ms")


def test_a_field_that_is_never_answered_does_not_keep_back_the_others(own):
    node = own(IMPATIENT)
    answer = api.admin(node)("{ t { asked never: slow(ms: 3600000) items { text slow } } checkAuth { authStatus } }")
    assert answer.status == 200 and answer.json["data"]["t"]["never"] is None
    assert answer.json["data"]["t"]["asked"] and answer.json["data"]["checkAuth"] == {"authStatus": "AUTHORIZED"}
    assert answer.json["data"]["t"]["items"][0] == {"text": "text", "slow": 9}
    (error,) = [e for e in answer.errors if e["extensions"]["code"] == "timeout"]
    assert error["path"] == ["t", "never"] and error["locations"]
    assert (metric(node, "graphql_timeouts_total"), metric(node, "graphql_late")) == (1, 1)
    assert re.search("warn +t_graphql: field 'TQuery.slow' .*graphql.timeout", node.log())


def test_an_answer_that_comes_too_late_harms_nobody(own):
    node = own(IMPATIENT)
    ask = api.admin(node)
    for _ in range(5):
        assert ask("{ t { slow(ms: 1500) a: slow(ms: 1600) } }").codes == 2 * ["timeout"]
    support.wait_for(lambda: metric(node, "graphql_late") == 0, "the late answers")
    assert metric(node, "graphql_timeouts_total") == 5
    assert ask("{ t { slow(ms: 1) } }").data == {"t": {"slow": 1}}


def test_what_comes_behind_in_a_mutation_that_takes_too_long_is_not_begun(own):
    node = own(IMPATIENT)
    ask = api.admin(node)
    answer = ask('mutation { t { a: note(text: "one", ms: 1500) b: note(text: "two") } again: t { c: note(text: "three") } }')
    assert answer.json["data"] == {"t": {"a": None, "b": None}, "again": None}
    assert [(e["extensions"]["code"], e["path"]) for e in answer.errors] == [
        ("timeout", ["t", "a"]), ("timeout", ["t", "b"]), ("timeout", ["again"])]
    support.wait_for(lambda: metric(node, "graphql_late") == 0, "the late answer")
    assert ask("{ t { log } }").data["t"]["log"].split() == ["one"]


def test_an_event_whose_field_takes_too_long_does_not_keep_back_the_next(own):
    node = own(IMPATIENT)
    with Events(api.admin(node), "subscription { t { ticks(count: 2, wait: 3600000) { number slow } } }") as events:
        for number in (1, 2):
            _, event = events.event()
            assert event["data"] == {"t": {"ticks": {"number": number, "slow": None}}}
            assert [e["extensions"]["code"] for e in event["errors"]] == ["timeout"]
        assert events.event() is None


def test_a_module_that_still_owes_answers_can_go(own):
    node = own(IMPATIENT)
    ask = api.admin(node)
    assert ask("{ t { slow(ms: 3600000) } }").codes == ["timeout"]
    assert node.control("module", "unload", "t_graphql").startswith("ok")
    assert metric(node, "graphql_late") == 0
    assert ask(AUTH).data


def test_a_field_that_goes_through_much_is_waited_for(own):
    assert api.admin(own(IMPATIENT))("{ t { slow(ms: 1500, long: true) } }").data == {"t": {"slow": 1500}}


def test_how_long_fields_may_take_is_reloaded(own):
    node = own()
    ask = api.admin(node)
    assert ask("{ t { slow(ms: 600) } }").data == {"t": {"slow": 600}}
    node.configure(IMPATIENT)
    node.reload()
    support.wait_for(lambda: "errors" in ask("{ t { slow(ms: 600) } }").json, "the new time")


# -- modules

def test_a_module_that_goes_takes_its_category_with_it(own):
    node = own()
    ask = api.admin(node)
    assert ask("{ t { asked } }").data
    assert node.control("module", "unload", "t_graphql").startswith("ok")
    assert ask("{ t { asked } }").codes == ["unknown_field"]
    names = {t["name"] for t in ask("{ __schema { types { name } } }").data["__schema"]["types"]}
    assert "TQuery" not in names and "AdminQuery" in names
    assert node.control("module", "load", "t_graphql").startswith("ok")
    assert ask("{ t { asked } }").data


def test_a_client_that_goes_away_leaves_nothing_undone(node, admin):
    c = admin.connection()
    c.request("POST", "/api/graphql", json.dumps({"query": 'mutation { t { a: note(text: "gone1", ms: 100) b: note(text: "gone2") } }'}),
              {"Content-Type": "application/json"})
    c.close()
    support.wait_for(lambda: "gone2" in admin("{ t { log } }").data["t"]["log"], "both to be done")


def test_a_module_is_not_unloaded_under_a_request(own):
    node = own()
    ask = api.admin(node)
    c = ask.connection()
    c.request("POST", "/api/graphql", json.dumps({"query": "{ t { busy(ms: 300) } }"}), {"Content-Type": "application/json"})
    support.wait_for(lambda: metric(node, 'graphql_requests_total{endpoint="admin"}') >= 1, "the request to be under way")
    assert node.control("module", "reload", "t_graphql").startswith("ok")
    assert api.Answer(c.getresponse()).data == {"t": {"busy": 300}}
    assert ask("{ t { asked } }").data
    c.close()


def test_what_comes_behind_in_a_mutation_fails_when_its_module_has_gone(own):
    node = own()
    extra.compile_module(node.modules, "t_graphql", "t_second", libs=["-ljansson"], MK_NAME="t_second",
                         T_SDL="extend type AdminQuery { second: Second } type Second { text: String }")
    assert node.control("module", "load", "t_second").startswith("ok")
    ask = api.admin(node)
    assert ask("{ second { text } }").data == {"second": {"text": None}}
    assert node.control("module", "unload", "t_second").startswith("ok")
    assert ask("{ second { text } }").codes == ["unknown_field"]


def test_a_category_of_another_s_module_is_on_the_command_line_and_in_the_reference(own):
    node = own()
    def ctl(*words):
        return subprocess.run([support.BUILD / "meerkatctl", "--socket", node.folder / "api.sock", *words],
                              capture_output=True, text=True, check=True, timeout=support.PATIENCE).stdout
    assert "  t " in ctl("--help") and "For tests" in ctl("--help")
    assert json.loads(ctl("t", "slow", "--ms", "1")) == {"data": {"t": {"slow": 1}}}
    text = ctl("reference")
    assert "\n## t\n\nFor tests\n" in text and "- query `slow(ms: PosInt!, long: Boolean = false): Int`" in text and "### TColor (enum)" in text
    assert "TQuery" not in text                                     # a category is no type to tell of
    assert node.control("module", "unload", "t_graphql").startswith("ok")
    assert "TColor" not in ctl("reference") and "## Types" in ctl("reference")


@pytest.mark.parametrize("sdl, why", [
    ("type A {", "line 1, column 9: Syntax Error: Expected Name, found <EOF>."),
    ("\\n  type A { b: Nothing }", 'line 2, column 15: Unknown type "Nothing".'),
    ("type TQuery { a: Int }", 'line 1, column 6: There can be only one type named "TQuery".'),
    ("extend type Nothing { a: Int }", 'line 1, column 13: Cannot extend type "Nothing" because it is not defined.'),
    ("extend type AdminQuery { t: Int }", 'line 1, column 26: Field "AdminQuery.t" can only be defined once.'),
    ("type A { b: Int @unknown }", 'line 1, column 17: Unknown directive "@unknown".'),
    ("type A { b: Int @protected(type: SOME) }", 'line 1, column 34: the value of argument "type" does not fit its type'),
    ("type A { b(c: Int = x): Int }", "line 1, column 21: The default value of A.b.c does not fit its type."),
    ("type A { b(c: Int): Int @protected(type: DOMAIN, args: [\\\"c\\\"]) }",
     'line 1, column 10: A.b is protected by "c", which is no argument that a JID or a domain is given in.'),
    ("interface I { x: Int } type A implements I { y: Int }", "line 1, column 42: Interface field I.x expected but A does not provide it."),
    ("type A", "line 1, column 6: Type A must define one or more fields."),
    ("directive @mine on FIELD", "line 1, column 1: a module cannot define directives")])
def test_a_schema_with_a_mistake_is_refused_with_its_place(node, sdl, why):
    extra.compile_module(node.modules, "t_graphql", "t_wrong", libs=["-ljansson"], MK_NAME="t_wrong", T_SDL=sdl)
    answer = node.control("module", "load", "t_wrong")
    assert answer.startswith("error: ") and why in answer
    assert api.admin(node)("{ t { asked } }").data


def test_a_module_whose_types_have_gone_comes_back_with_them(own):
    node = own()
    extra.compile_module(node.modules, "t_graphql", "t_second", libs=["-ljansson"], MK_NAME="t_second",
                         T_SDL="extend type AdminQuery { second: Second } type Second { color: TColor text: String }")
    ask = api.admin(node)
    assert node.control("module", "load", "t_second").startswith("ok")
    assert node.control("module", "unload", "t_graphql").startswith("ok")
    assert "left out" in node.log()
    assert ask("{ second { text } }").codes == ["unknown_field"]
    assert node.control("module", "load", "t_graphql").startswith("ok")
    assert ask("{ second { text color } t { asked } }").data


def test_each_schema_shows_what_its_roots_lead_to(node, admin):
    def types(ask):
        return {t["name"] for t in ask("{ __schema { types { name } } }").data["__schema"]["types"]}
    of_admin, of_user = types(admin), types(api.user(node, "alice"))
    assert "TQuery" in of_admin and "TUserQuery" not in of_admin
    assert "TUserQuery" in of_user and not {"TQuery", "AdminQuery", "AdminAuthInfo", "JID"} & of_user
    # A root that nobody has put anything into is none.
    assert api.user(node, "alice")("{ __schema { mutationType { name } subscriptionType { name } } }").data == {
        "__schema": {"mutationType": None, "subscriptionType": {"name": "UserSubscription"}}}


# -- subscriptions

SSE = "/api/graphql/sse"


class Events:
    """A subscription over server-sent events, as a browser's EventSource asks for it."""

    def __init__(self, ask, query, method="GET", **variables):
        self.connection = ask.connection()
        parameters = {"query": query, **({"variables": json.dumps(variables)} if variables else {})}
        if method == "GET":
            self.connection.request("GET", SSE + "?" + urllib.parse.urlencode(parameters), headers=ask.headers)
        else:
            self.connection.request("POST", SSE, json.dumps({"query": query, "variables": variables}),
                                    {**ask.headers, "Content-Type": "application/json"})
        self.response = self.connection.getresponse()

    def __enter__(self):
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"].startswith("text/event-stream")
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self):
        """The fields of the next event or comment; None at the end."""
        event = {}
        while line := self.response.readline():
            line = line.decode().rstrip("\n")
            if not line:
                return event
            name, _, value = line.partition(":")
            event[name or "comment"] = value.removeprefix(" ")
        return None

    def event(self):
        while (event := self.next()) and "comment" in event:
            pass
        return event and (event.get("id"), json.loads(event["data"]))


def ticks(number):
    return {"data": {"t": {"ticks": {"number": number}}}}


def test_a_subscription_gives_events_with_an_id_that_counts_up(admin):
    with Events(admin, "subscription { t { ticks(count: 3) { number } } }") as events:
        assert [events.event() for _ in range(4)] == [("1", ticks(1)), ("2", ticks(2)), ("3", ticks(3)), None]


def test_events_whose_fields_are_slow_keep_their_order(admin):
    with Events(admin, "subscription ($n: PosInt!) { t { ticks(count: $n, ms: 1) { slow } } }", n=20) as events:
        assert [events.event()[1]["data"]["t"]["ticks"]["slow"] for _ in range(20)] == list(range(1, 21))


def test_the_last_event_may_be_an_error(admin):
    with Events(admin, "subscription { t { ticks(count: 1, fail: true) { number } } }") as events:
        assert events.event() == ("1", ticks(1))
        error = events.event()[1]
        assert error["data"] is None and error["errors"][0]["path"] == ["t", "ticks"]
        assert error["errors"][0]["extensions"]["code"] == "over"
        assert events.event() is None


def test_a_subscription_says_now_and_then_that_it_is_there(admin):
    with Events(admin, "subscription { t { ticks(count: 1, ms: 100000) { number } } }") as events:
        assert [events.next() for _ in range(3)] == 3 * [{"comment": ""}]


def test_a_subscription_ends_with_its_client(node, admin):
    before = admin("{ t { watching } }").data["t"]["watching"]
    with Events(admin, "subscription { t { ticks(count: 100000, ms: 5) { number } } }") as events:
        events.event()
        assert admin("{ t { watching } }").data["t"]["watching"] == before + 1
        assert metric(node, "graphql_subscriptions") == 1
    support.wait_for(lambda: admin("{ t { watching } }").data["t"]["watching"] == before, "the subscription to end")
    support.wait_for(lambda: metric(node, "graphql_subscriptions") == 0, "the stream to be gone")


@pytest.mark.parametrize("path, query, code", [
    (SSE, "{ checkAuth { authStatus } }", "unsupported_operation"), (SSE, NOTE, "unsupported_operation"),
    ("/api/graphql", "subscription { t { ticks(count: 1) { number } } }", "unsupported_operation"),
    (SSE, "subscription { t { a: ticks(count: 1) { number } b: ticks(count: 1) { number } } }", "unsupported_operation"),
    (SSE, "subscription { t { ticks { number } } }", "missing_non_null_param"), (SSE, "subscription {", "parser_error"),
    (SSE, "subscription { t { ticks(count: 1) { number } } u: t { ticks(count: 1) { number } } }", "single_field_subscription")])
def test_what_is_no_subscription_is_answered_like_any_other_request(admin, path, query, code):
    answer = admin.request("GET", path + "?" + urllib.parse.urlencode({"query": query}))
    assert (answer.status, answer.codes) == (400, [code])
    assert answer.headers["Content-Type"].startswith("application/json")


def test_subscriptions_are_for_those_who_may(node):
    query = {"query": "subscription { t { ticks(count: 1) { number } } }"}
    ask = api.Api(node.port("graphql_admin"))
    assert ask.request("GET", SSE + "?" + urllib.parse.urlencode(query)).status == 401
    with Events(tcp_admin(node), query["query"]) as events:
        assert events.event() == ("1", ticks(1))


def test_by_post_events_have_the_names_that_newer_clients_want(admin):
    with Events(admin, "subscription { t { ticks(count: 1) { number } } }", "POST") as events:
        assert events.next() == {"event": "next", "id": "1", "data": json.dumps(ticks(1), separators=(",", ":"))}
        assert events.next() == {"event": "complete", "data": ""}
        assert events.next() is None


def test_there_is_a_limit_of_subscriptions(own):
    node = own(CONFIG.replace("[module:graphql]\n", "[module:graphql]\nmax_subscriptions = 1\n"))
    query = "subscription { t { ticks(count: 1, ms: 100000) { number } } }"
    with Events(api.admin(node), query):
        second = Events(api.admin(node), query)
        assert second.response.status == 503
        second.connection.close()
        assert metric(node, 'graphql_refused_total{reason="subscriptions"}') == 1


def test_many_subscriptions_go_on_side_by_side_and_leave_nothing(node, admin):
    query = "subscription { t { ticks(count: 1000000, ms: 50) { number } } }"
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(Events(admin if i % 2 else tcp_admin(node), query)) for i in range(200)]
        for number in (1, 2, 3):
            assert [events.event() for events in many] == 200 * [(str(number), ticks(number))]
        assert metric(node, "graphql_subscriptions") == 200
    support.wait_for(lambda: metric(node, "graphql_subscriptions") == 0, "all to end")
    assert admin("{ t { watching } }").data["t"]["watching"] == 0


def test_a_client_that_does_not_read_is_cut(own):
    node = own()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", node.port("graphql_admin")))
        body = json.dumps({"query": "subscription { t { ticks(count: 10000000, ms: 1, text: %s) { text } } }" % json.dumps("x" * 60000)})
        s.sendall(f"POST {SSE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                  f"Authorization: {api.basic('admin', 'geheim')['Authorization']}\r\n\r\n{body}".encode())
        support.wait_for(lambda: metric(node, "graphql_subscriptions_slow_total") == 1, "the slow client to be cut")
    assert api.admin(node)("{ t { watching } }").data["t"]["watching"] == 0


def test_a_module_can_be_unloaded_under_its_subscriptions(own):
    node = own()
    with Events(api.admin(node), "subscription { t { ticks(count: 100000, ms: 5) { number } } }") as events:
        events.event()
        assert node.control("module", "unload", "t_graphql").startswith("ok")
        while events.event():
            pass
    assert api.admin(node)(AUTH).data


def test_a_node_stops_under_its_subscriptions(own):
    node = own()
    with Events(api.admin(node), "subscription { t { ticks(count: 100000, ms: 5) { number } } }") as events:
        events.event()
        node.stop()


def test_a_users_subscriptions_end_when_the_password_changes(own):
    node = own()
    with Events(api.user(node, "bob"), "subscription { t { ticks(count: 1, ms: 100000) { number } } }") as events:
        client = node.client("bob")
        register(client, "<username>bob</username><password>quite-fresh</password>")
        assert events.event() is None
        client.drop()
