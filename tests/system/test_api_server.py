# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Categories server, stat, metric, module, config and log of the GraphQL API."""
import os
import re
import time

import pytest

import api
import support
from fields import Enum, Fields

HOSTS = "localhost, other.example"
CONFIG = """
[log]
level = info
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_memory]
accounts = alice:hidden-word, bob@localhost:secret
[ping]
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
admin_listen = 127.0.0.1:0
admin_password = hidden-word
[admin]
"""


@pytest.fixture
def ask(node):
    return Fields(api.admin(node))


# -- server

def test_a_node_that_runs_says_so(ask, node):
    status = ask.query("server", "status", "statusCode message version commitHash node uptimeSeconds ready checks { name ready reason }")
    version = node.control("status").split()[1]
    assert status["statusCode"] == "RUNNING" and status["version"] == version and version in status["message"]
    assert status["ready"] and {"name": "server", "ready": True, "reason": None} in status["checks"]
    assert status["uptimeSeconds"] in range(600)


def test_the_level_of_the_log_is_changed(ask, node):
    def debug_lines():
        node.client().drop()
        return "[c2s.end]" in node.log()
    assert ask.query("server", "getLoglevel") == "INFO" and not debug_lines()
    assert ask.mutation("server", "setLoglevel", level=Enum("DEBUG")) == "Log level successfully set to DEBUG"
    assert ask.query("server", "getLoglevel") == "DEBUG"
    support.wait_for(debug_lines, "lines of level debug")
    for level, becomes in (("CRITICAL", "ERROR"), ("NOTICE", "WARNING"), ("ALL", "DEBUG"), ("INFO", "INFO")):
        assert ask.mutation("server", "setLoglevel", level=Enum(level)).endswith(becomes)
        assert ask.query("server", "getLoglevel") == becomes
    assert ask.fails("server", "setLoglevel", level=Enum("NONE")) == "invalid_level"


def test_commands_for_clusters_of_erlang_nodes_say_what_to_do(ask):
    name = ask.query("server", "status", "node")["node"]
    assert ask.fails("server", "getCookie", kind="query") == "error"
    assert ask.fails("server", "joinCluster", node="elsewhere") == "pang"
    assert ask.fails("server", "joinCluster", node=name) == "already_joined"
    assert ask.fails("server", "leaveCluster") == "not_in_cluster"
    assert ask.fails("server", "removeFromCluster", node="elsewhere") == "not_in_cluster"
    assert ask.fails("server", "removeNode", node="elsewhere") == "not_in_cluster"


def test_a_node_is_stopped(start_node):
    node = start_node(CONFIG, hosts=HOSTS)
    alice = node.client("alice", "hidden-word")
    assert Fields(api.admin(node)).mutation("server", "stop") == "Stop scheduled"
    alice.closed("<system-shutdown")
    assert node.process.wait(30) == 0


def test_a_node_is_restarted_in_its_process(start_node):
    node = start_node(CONFIG + "[register]\n", hosts=HOSTS)
    alice, ask = node.client("alice", "hidden-word"), Fields(api.admin(node))
    assert ask.mutation("server", "restart") == "Restart scheduled"
    alice.closed("<system-shutdown")
    support.wait_for(lambda: len(re.findall("is ready", node.log())) == 2, "the second start")
    assert node.process.poll() is None
    assert ask.query("server", "status", "statusCode") == {"statusCode": "RUNNING"}
    port = int(re.findall(r"listening for 'c2s' on [^ ]*:(\d+)", node.log())[-1])
    support.Client(port).login("alice", "hidden-word").drop()
    open_files = os.listdir(f"/proc/{node.process.pid}/fd")
    assert len(open_files) < 60, open_files


# -- stat

def test_accounts_and_sessions_are_counted(ask, login):
    login("alice", "hidden-word", resource="a"), login("alice", "hidden-word", resource="b")
    login("alice", "hidden-word", host="other.example")
    assert ask.query("stat", "domainStats", "registeredUsers onlineUsers", domain="localhost") == {
        "registeredUsers": 2, "onlineUsers": 2}
    stats = ask.query("stat", "globalStats", "uptimeSeconds registeredUsers onlineUsersNode onlineUsers incomingS2S outgoingS2S")
    assert stats.pop("uptimeSeconds") in range(600)
    assert stats == {"registeredUsers": 3, "onlineUsersNode": 3, "onlineUsers": 3, "incomingS2S": None, "outgoingS2S": None}
    assert ask.fails("stat", "domainStats", "onlineUsers", kind="query", domain="nowhere.example") == "not_found"


# -- metric

METRIC = "__typename ... on CounterMetric { name type value ms_since_reset } ... on GaugeMetric { name type value } " \
         "... on HistogramMetric { name type n mean min max median p50 p75 p90 p95 p99 p999 }"


def test_metrics_count_what_clients_do(ask, login):
    def pings():
        (metric,) = ask.query("metric", "getMetrics", METRIC, name=["global", "c2s_stanzas_total", "kind=iq", "direction=in"])
        return metric
    before, client = pings(), login("alice", "hidden-word")
    client.sync()
    after = pings()
    assert after["__typename"] == "CounterMetric" and after["type"] == "counter" and after["ms_since_reset"] > 0
    assert after["name"] == ["global", "c2s_stanzas_total", "kind=iq", "direction=in"]
    assert after["value"] - before["value"] >= 1


def test_the_beginning_of_a_name_stands_for_all_below(ask):
    def names(*name):
        return [m["name"] for m in ask.query("metric", "getMetrics", "... on CounterMetric { name } ... on GaugeMetric { name } "
                                             "... on HistogramMetric { name }", name=list(name))]
    assert ["global", "sessions"] in names() and ["global", "sessions"] in names("global")
    assert len(names("global", "c2s_stanzas_total")) == 6
    assert len(names("_", "_", "_", "direction=out")) == 3
    assert names("global", "nothing") == []


def test_times_are_microseconds(ask, login):
    login("alice", "hidden-word")
    metrics = ask.query("metric", "getMetrics", METRIC)
    times = [m for m in metrics if m["__typename"] == "HistogramMetric" and m["n"] and m["name"][1].endswith("_seconds")]
    for m in times:
        assert m["min"] is None and m["p50"] == m["median"] <= m["p99"] <= m["max"], m
    assert any(m["mean"] >= 1 for m in times), [m["name"] for m in metrics if m["__typename"] == "HistogramMetric"]


def test_metrics_as_keys_and_values(ask, login):
    login("alice", "hidden-word")
    name = ["global", "sessions"]
    assert ask.query("metric", "getMetricsAsDicts", "name dict { key value }", name=name) == [
        {"name": name, "dict": [{"key": "value", "value": 1}]}]
    assert ask.query("metric", "getMetricsAsDicts", "dict { key }", name=name, keys=["other"]) == [{"dict": []}]
    here = ask.query("server", "status", "node")["node"]
    def of_nodes(**more):
        return ask.query("metric", "getClusterMetricsAsDicts", "node result { dict { key value } }", name=name, **more)
    assert of_nodes() == of_nodes(nodes=[here]) == [{"node": here, "result": [{"dict": [{"key": "value", "value": 1}]}]}]
    assert of_nodes(nodes=["elsewhere"]) == []


# -- module

def test_modules_are_listed(ask):
    modules = {m["name"]: m for m in ask.query("module", "list", "name version summary state neededOnly depends after provides")}
    assert modules["ping"]["state"] == "running" and not modules["ping"]["neededOnly"]
    assert modules["router"]["neededOnly"] and modules["router"]["provides"] == ["router", "sessions"]
    assert modules["admin"]["depends"] == ["graphql", "sessions", "c2s"]
    names = [m["name"] for m in ask.query("module", "list", "name state", available=True) if m["state"] == "available"]
    assert "vcard" in names and "ping" not in names


def test_a_module_describes_its_options(ask):
    module = ask.query("module", "describe", "name options { name allowed preset value reloadable required perHost help deprecated }",
                       name="graphql")
    options = {o["name"]: o for o in module["options"]}
    assert options["user_listen"]["value"] == "127.0.0.1:0" and options["user_listen"]["preset"] == "127.0.0.1:5561"
    assert options["admin_password"]["value"] is None
    assert options["max_query"] == {"name": "max_query", "allowed": "size, 1K to 16M", "preset": "100K", "value": "100K",
                                    "reloadable": False, "required": False, "perHost": False, "help": "longest query", "deprecated": None}
    assert ask.fails("module", "describe", "name", kind="query", name="nothing") == "not_loaded"


def test_handlers_of_hooks_are_listed_as_they_are_called(ask, node):
    hooks = ask.query("module", "hooks", "hook module priority function file line")
    lines = [f"{h['hook']}\t{h['priority']}\t{h['module']}\t{h['function']}\t{h['file']}:{h['line']}" for h in hooks]
    assert lines == node.control("hooks").splitlines()[:-1]
    only = ask.query("module", "hooks", "hook module", hook="session_out", module="admin")
    assert only == [{"hook": "session_out", "module": "admin"}]


def test_modules_come_and_go(ask, login):
    client = login("alice", "hidden-word")
    def ping():
        return client.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to="localhost")
    assert "type='result'" in ping()
    assert ask.mutation("module", "unload", name="ping") == "Module ping was unloaded"
    assert "service-unavailable" in ping()
    assert ask.mutation("module", "load", name="ping") == "Module ping was loaded"
    assert "type='result'" in ping()
    assert ask.mutation("module", "reload", name="ping") == "Module ping was reloaded"
    assert "type='result'" in ping()


def test_modules_that_cannot_go(ask):
    for name in ("admin", "graphql", "http", "router", "nothing"):
        assert ask.fails("module", "unload", name=name) == ask.fails("module", "reload", name=name) == "module_error"
    assert ask.fails("module", "load", name="nothing") == "module_error"


# -- config

def test_the_configuration_is_shown_without_secrets(ask):
    values = {(v["section"], v["key"]): v for v in ask.query("config", "show", "section key value preset help")}
    assert values["c2s", "listen"]["value"] == "127.0.0.1:0" and not values["c2s", "listen"]["preset"]
    assert values["meerkat", "workers"]["value"] == "2"
    assert values["graphql", "admin_password"]["value"] is None
    assert values["ping", "interval"]["preset"] and values["ping", "interval"]["help"]
    changed = ask.query("config", "show", "section key value", section="graphql", changed=True)
    assert {"section": "graphql", "key": "user_listen", "value": "127.0.0.1:0"} in changed
    assert all(v["section"] == "graphql" and v["key"] != "max_query" for v in changed)


def test_no_secret_is_shown_by_any_category(ask):
    for answer in (ask.ask("query", "config", "show", "value"), ask.ask("query", "module", "list", "options { value }")):
        assert "errors" not in answer.json
        assert "hidden-word" not in answer.text.replace("alice:hidden-word", "")


def test_a_changed_configuration_is_checked_and_reloaded(ask, node):
    before = node.ini.read_text()
    try:
        assert ask.query("config", "check", "ok errors") == {"ok": True, "errors": []}
        node.ini.write_text(before.replace("[ping]\n", "[ping]\nintervall = 1m\n"))
        check = ask.query("config", "check", "ok errors")
        assert not check["ok"] and "intervall" in check["errors"][0] and str(node.ini) in check["errors"][0]
        assert ask.fails("config", "reload") == "config_error"
        node.ini.write_text(before.replace("[ping]\n", "[ping]\ninterval = 42m\n"))
        assert ask.query("config", "check", "ok")["ok"]
        def interval():
            return [v["value"] for v in ask.query("config", "show", "key value", section="ping") if v["key"] == "interval"]
        assert interval() != ["42m"]
        assert ask.mutation("config", "reload") == "The configuration was reloaded"
        assert interval() == ["42m"]
    finally:
        node.ini.write_text(before)
        ask.mutation("config", "reload")


# -- log

def test_the_last_lines_of_the_log(ask, node):
    ask.mutation("server", "setLoglevel", level=Enum("INFO"))
    fields = "number time level module event text"
    (line,) = ask.query("log", "tail", fields, limit=1)
    assert line["event"] == "admin.loglevel" and line["module"] == "admin" and line["level"] == "INFO"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    assert ask.query("log", "tail", fields, after=line["number"]) == []
    ask.mutation("server", "setLoglevel", level=Enum("INFO"))
    assert [l["number"] for l in ask.query("log", "tail", fields, after=line["number"])] == [line["number"] + 1]
    assert all(l["module"] == "c2s" for l in ask.query("log", "tail", fields, module="c2s"))
    levels = {l["level"] for l in ask.query("log", "tail", fields, level=Enum("WARNING"))}
    assert levels and levels <= {"WARNING", "ERROR"}


# -- permissions

@pytest.mark.parametrize("category, name, selection", [
    ("server", "status", "version"), ("stat", "globalStats", "onlineUsers"), ("metric", "getMetrics", "__typename"),
    ("module", "list", "name"), ("config", "show", "key"), ("log", "tail", "text")])
def test_nobody_else_is_told_anything(node, category, name, selection):
    nobody = Fields(api.Api(node.port("graphql_admin")))
    answer = nobody.ask("query", category, name, selection)
    assert answer.status == 401 and answer.codes == ["no_permissions"]
    answer = Fields(api.user(node, "alice", "hidden-word")).ask("query", category, name, selection)
    assert answer.status == 400 and "data" not in answer.json
