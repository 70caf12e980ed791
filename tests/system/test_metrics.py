# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What Prometheus reads: both formats as its own client library parses them, and numbers that are so."""
import math
import os
import re
import signal
import socket
import ssl
import time

import pytest

import support
from support import wait_for
from web import Raw, ask

prometheus = pytest.importorskip("prometheus_client")
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families as parse_plain  # noqa: E402

CONFIG = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[tls]
self_signed = yes
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[register]
enabled = yes
rate = 0
[router]
[roster]
[presence]
[offline]
[sm]
[carbons]
[disco]
[ping]
[blocking]
[http]
listen = 127.0.0.1:0
[health]
[metrics]
"""
OPEN = "Accept: application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.25,*/*;q=0.1"


def plain(node):
    answer = ask(node.port("http"), "/metrics")
    assert answer.status == 200 and answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return {f.name: f for f in parse_plain(answer.body.decode())}


def openmetrics(node):
    answer = ask(node.port("http"), "/metrics", OPEN)
    assert answer.header("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    text = answer.body.decode()
    assert text.endswith("\n# EOF\n")
    return {f.name: f for f in parse_open(text)}


def value(node, name, **labels):
    """The sum of the samples of this name that have these labels."""
    total = found = 0
    for family in plain(node).values():
        for sample in family.samples:
            if sample.name == "meerkat_" + name and labels.items() <= sample.labels.items():
                total += sample.value
                found += 1
    assert found, (name, labels)
    return total


def test_both_formats_are_as_prometheus_reads_them(node):
    old, new = plain(node), openmetrics(node)
    assert len(old) > 60 and set(old) == set(new)
    for name, family in new.items():
        assert name.startswith("meerkat_") and family.documentation and old[name].documentation == family.documentation
        assert not family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram") and old[name].type == family.type
        for unit in ("seconds", "bytes"):
            assert (family.unit == unit) == name.endswith("_" + unit), name
        assert {(s.name, tuple(sorted(s.labels.items()))) for s in family.samples} == \
               {(s.name, tuple(sorted(s.labels.items()))) for s in old[name].samples}


def test_histograms_are_consistent(node):
    families = [f for f in openmetrics(node).values() if f.type == "histogram"]
    assert len(families) >= 4
    for family in families:
        series = {}
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "le"}
            one = series.setdefault(tuple(sorted(labels.items())), {"buckets": []})
            if sample.name.endswith("_bucket"):
                one["buckets"].append((float(sample.labels["le"]), sample.value))
            else:
                one[sample.name.rsplit("_", 1)[1]] = sample.value
        for one in series.values():
            bounds, counts = zip(*one["buckets"])
            assert list(bounds) == sorted(bounds) and bounds[-1] == math.inf and len(bounds) == 25
            assert list(counts) == sorted(counts) and counts[-1] == one["count"]
            assert one["sum"] >= 0 and (one["count"] > 0 or one["sum"] == 0)


@pytest.mark.parametrize("accept, is_open", [
    (None, False), ("*/*", False), ("text/plain", False), ("application/openmetrics-text", True),
    ("application/openmetrics-text;q=0", False), ("text/plain;q=0.9,application/openmetrics-text;q=0.5", False),
    ("text/html, application/openmetrics-text; version=1.0.0", True)])
def test_the_format_is_what_was_asked_for(node, accept, is_open):
    answer = ask(node.port("http"), "/metrics", *([f"Accept: {accept}"] if accept else []))
    assert answer.header("content-type").startswith("application/openmetrics-text") == is_open


def test_the_numbers_of_the_process_are_so(node):
    pid = node.process.pid
    status = open(f"/proc/{pid}/status").read()
    resident = int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024
    assert abs(value(node, "process_resident_memory_bytes") - resident) < resident / 4
    kinds = {kind: value(node, "process_memory_bytes", kind=kind) for kind in ("anonymous", "file", "swap")}
    assert kinds["anonymous"] > 1e6 and kinds["file"] > 1e6 and abs(kinds["anonymous"] + kinds["file"] - resident) < resident / 4
    assert abs(value(node, "process_open_fds") - len(os.listdir(f"/proc/{pid}/fd"))) < 20
    assert value(node, "process_max_fds") >= value(node, "process_open_fds")
    assert abs(value(node, "process_start_time_seconds") + value(node, "uptime_seconds") - time.time()) < 5
    assert value(node, "workers") == 2
    assert value(node, "build_info", version=plain(node)["meerkat_build_info"].samples[0].labels["version"]) == 1
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    assert abs(value(node, "process_cpu_seconds_total") - spent) < 1


@pytest.fixture(scope="module")
def accounts(node):
    with node.client() as client:
        for name in ("alice", "bob"):
            client.iq("set", f"<query xmlns='jabber:iq:register'><username>{name}</username><password>secret</password></query>")


def test_the_time_of_the_start_does_not_move(node):
    # Alerts count its changes as restarts.
    started = {value(node, "process_start_time_seconds") for _ in range(50)}
    assert len(started) == 1


def test_what_becomes_of_stanzas_is_counted(node, accounts, login):
    alice = login("alice")
    alice.presence()
    alice.sync()
    names = ("session", "host", "stored", "returned", "dropped", "account", "domain", "node")
    before = {n: value(node, "router_outcomes_total", outcome=n) for n in names}
    stanzas = value(node, "c2s_stanzas_total", kind="message", direction="in")
    for _ in range(5):
        alice.message(alice.jid, "to me")
    for _ in range(3):
        alice.message("bob@localhost", "for later")
    alice.message("nobody@localhost/x", "nobody", type_="headline")
    alice.message("x@elsewhere.example", "away")
    alice.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to="localhost")
    alice.iq("get", "<query xmlns='jabber:iq:roster'/>")
    alice.sync()
    # The database has them a moment later.
    wait_for(lambda: value(node, "router_outcomes_total", outcome="stored") == before["stored"] + 3, "all to be stored")
    change = {n: value(node, "router_outcomes_total", outcome=n) - before[n] for n in names}
    assert change["stored"] == 3 and change["dropped"] == 1 and change["node"] == 0 and change["domain"] == 0
    # To herself five, and the errors that came back; asked of the server: the ping and what sync asks.
    assert change["session"] >= 6 and change["returned"] >= 1 and change["host"] >= 2 and change["account"] >= 1
    assert value(node, "c2s_stanzas_total", kind="message", direction="in") == stanzas + 10


def test_tls_bytes_log_ins_and_tables_are_counted(node, accounts, login):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert value(node, "tls_handshakes_total", **{"for": "c2s"}) == 0
    with node.client() as client:
        assert value(node, "c2s_open_connections", type="plain") == 1
        client.starttls(context)
        client.login("bob")
        assert value(node, "c2s_open_connections", type="tls") == 1 and value(node, "c2s_open_connections", type="plain") == 0
        assert value(node, "tls_handshakes_total", **{"for": "c2s", "version": "1.3"}) == 1
        assert value(node, "sasl_logins_total", mechanism="PLAIN", result="success") >= 1
        assert value(node, "table_records", table="sessions") == value(node, "sessions") == 1
        assert 50 < value(node, "table_bytes", table="sessions") < 1000
        before = value(node, "c2s_received_bytes_total"), value(node, "c2s_sent_bytes_total")
        client.message(client.jid, "x" * 5000)
        client.stanza("^<message")
        assert value(node, "c2s_received_bytes_total") > before[0] + 5000
        assert value(node, "c2s_sent_bytes_total") > before[1] + 5000
    wait_for(lambda: value(node, "table_records", table="sessions") == 0 == value(node, "c2s_open_connections"))
    assert value(node, "table_bytes", table="sessions") == 0


def test_times_of_hooks_stanzas_and_pings_are_measured(node, accounts, login):
    alice = login("alice")
    for _ in range(2000):
        alice.message(alice.jid, "again")
    alice.sync()
    assert value(node, "c2s_stanza_seconds_count") >= 2000 // 64
    assert value(node, "hook_seconds_count") > 0
    assert 0 < value(node, "c2s_stanza_seconds_sum") < 1


def test_bytes_that_wait_for_a_client_are_counted(node, accounts, login):
    alice, slow = login("alice"), login("bob")
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    text = "x" * 100000
    for _ in range(60):
        alice.message(slow.jid, text)
        if value(node, "c2s_waiting_bytes") > 0:
            break
    wait_for(lambda: value(node, "c2s_waiting_bytes") > 0, "the client to be behind")
    slow.drop()
    wait_for(lambda: value(node, "c2s_waiting_bytes") == 0, "nothing to wait any more")


def test_what_is_bounded_has_its_bound_beside_it(node):
    families = plain(node)
    assert value(node, "http_buffered_limit_bytes") == 2 * 64 * 1024 * 1024
    limits = [n for n in families if "_limit" in n]
    assert len(limits) >= 4 and all(re.sub("_limit", "", n) in families for n in limits), limits


def test_a_worker_that_is_late_is_seen(node):
    wait_for(lambda: min(value(node, "event_loop_lag_seconds_count", worker=w) for w in "01") > 3)
    before = value(node, "event_loop_lag_seconds_sum")
    support.freeze(node.process)
    time.sleep(0.5)
    node.process.send_signal(signal.SIGCONT)
    wait_for(lambda: value(node, "event_loop_lag_seconds_sum") > before + 0.6, "both to have been late")


def test_a_secret_token_can_be_asked_for(start_node):
    node = start_node("[http]\nlisten = 127.0.0.1:0\n[metrics]\nlisten = 127.0.0.1:0\ntoken = open-sesame\n")
    port = node.port("metrics")
    assert ask(node.port("http"), "/metrics").status == 404
    refused = ask(port, "/metrics")
    assert refused.status == 401 and refused.header("www-authenticate") == "Bearer"
    for shown in ("Bearer open-sesam", "Bearer open-sesame2", "Bearer", "Basic open-sesame"):
        assert ask(port, "/metrics", f"Authorization: {shown}").status == 401
    assert ask(port, "/metrics", "Authorization: bearer open-sesame").status == 200
    assert "open-sesame" not in node.log()


def test_metrics_of_a_module_go_and_come_with_it(node):
    assert value(node, "pings_sent_total") == 0
    assert node.control("module", "unload", "ping").endswith("ok\n")
    assert not any(name.startswith("meerkat_pings") for name in openmetrics(node))
    assert node.control("module", "load", "ping").endswith("ok\n")
    assert value(node, "pings_sent_total") == 0


def test_scraping_goes_on_while_modules_are_reloaded(node):
    with Raw(node.port("http")) as raw:
        for _ in range(5):
            assert node.control("module", "reload", "blocking").endswith("ok\n")
            for _ in range(3):
                assert raw.get("/metrics", OPEN).body.endswith(b"# EOF\n")
