# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Limits of client streams at their edges, and the rates of the classes of connections."""
import threading
import time

import pytest

from support import END, auth, wait_for

HOSTS = "localhost, slow.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
max_stanza = 10000
max_depth = 8
max_attributes = 8
burst = 1000
rate_login = 5000
trusted = 127.0.0.9
[c2s@slow.example]
rate = 5000
[sasl]
[auth_memory]
accounts = alice:secret, bob:secret
"""
ERROR = "<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"


def whole(kind, size, to="localhost"):
    """A stanza of exactly so many bytes."""
    begin, end = f"<{kind} to='{to}' type='chat'><body>", f"</body></{kind}>"
    return begin + "x" * (size - len(begin) - len(end)) + end


def nested(depth):
    return "<message to='{to}'>" + "<a>" * (depth - 1) + "</a>" * (depth - 1) + "</message>"


def attributes(count):
    # The stanza's own tag counts as well, and so do namespaces.
    names = "".join(f" xmlns:n{i}='urn:n'" if i % 2 else f" a{i}='x'" for i in range(count))
    return f"<message to='{{to}}'><a{names}/></message>"


@pytest.mark.parametrize("good, bad", [
    (whole("message", 10000, "alice@localhost/alice"), whole("message", 10001, "alice@localhost/alice")),
    (nested(8), nested(9)), (attributes(8), attributes(9))], ids=["size", "depth", "attributes"])
def test_an_element_may_be_as_large_as_the_limit_and_no_larger(login, good, bad):
    alice, bob = login("alice", resource="alice"), login("bob")
    bob.send(good.replace("{to}", alice.jid))
    assert "type='error'" not in alice.stanza("^<message")
    bob.send(bad.replace("{to}", alice.jid))
    bob.closed(ERROR.format("policy-violation"))
    alice.nothing()


def test_an_old_session_is_told_that_its_resource_was_taken(login):
    old, new = login("alice"), login("alice")
    assert old.jid == new.jid
    old.closed(ERROR.format("conflict"))
    new.sync()


# -- time

def drip(client, data, seconds=1.0):
    """One byte a second until all is said or the connection ends."""
    for byte in data:
        try:
            client.send(byte)
        except OSError:
            return
        time.sleep(seconds)


@pytest.mark.parametrize("data", ["<stream:stream xmlns=", " " * 20], ids=["a tag", "white space"])
def test_who_logs_in_too_slowly_is_told_so_though_never_silent(start_node, data):
    node = start_node(CONFIG.replace("burst", "login_timeout = 2s\nburst"), hosts=HOSTS)
    begun = time.monotonic()
    slow = node.client(stream=False)
    half = node.client()
    other = node.client("bob")
    threads = [threading.Thread(target=drip, args=(c, data)) for c in (slow, half)]
    for t in threads:
        t.start()
    while time.monotonic() - begun < 1.5:
        other.sync()
    for client in slow, half:
        client.closed(ERROR.format("connection-timeout"))
        assert time.monotonic() - begun > 1.5
        client.drop()
    assert node.metric("c2s_stream_errors_total", '"connection-timeout"') == 2
    other.sync()
    for t in threads:
        t.join()
    other.drop()


def test_one_byte_a_second_is_slow_and_right(login):
    slow, alice = login("bob"), login("alice")
    slow.send(f"<message to='{alice.jid}'><body>slow</body></messa")
    writer = threading.Thread(target=drip, args=(slow, "ge>"))
    writer.start()
    assert "<body>slow</body>" in alice.stanza("^<message")
    writer.join()


# -- numbers

def test_connections_over_the_number_are_told_and_one_that_goes_makes_room(start_node):
    node = start_node(CONFIG.replace("burst", "max_connections = 3\nburst"), hosts=HOSTS)
    clients = [node.client("alice", resource=f"r{i}") for i in range(3)]
    for _ in range(2):
        more = node.client(stream=False)
        more.closed("^<[?]xml.*<stream:stream [^>]*id='[^']*'.*" + ERROR.format("resource-constraint") + ".*</stream:stream>$")
        more.drop()
    assert node.metric("c2s_connections_refused_total", 'reason="connections"') == node.metric("c2s_connections_refused_total") == 2
    assert node.metric("c2s_open_connections_limit") == node.metric("c2s_open_connections") == 3
    assert node.metric("c2s_stream_errors_total", '"resource-constraint"') == 2
    clients.pop().close()
    wait_for(lambda: node.metric("c2s_streams") == 2, "the end of one")
    clients.append(node.client("bob"))
    for client in clients:
        client.sync()
        client.drop()


def test_an_address_has_so_many_connections_and_others_are_not_touched(start_node):
    node = start_node(CONFIG.replace("burst", "max_connections_address = 2\nburst"), hosts=HOSTS)
    clients = [node.client("alice", resource=f"r{i}", source="127.0.0.2") for i in range(2)]
    more = node.client(stream=False, source="127.0.0.2")
    more.closed(ERROR.format("policy-violation"))
    assert node.metric("c2s_connections_refused_total", 'reason="address"') == 1
    clients += [node.client("bob", resource=f"r{i}", source="127.0.0.3") for i in range(2)]
    # A trusted address has as many as it likes.
    clients += [node.client("bob", resource=f"t{i}", source="127.0.0.9") for i in range(5)]
    for client in clients:
        client.sync()
        client.drop()
    more.drop()


# -- rates: 5,000 bytes a second behind the first 1,000

def seconds(client, ask):
    """How long the client must wait after 10,000 bytes."""
    for _ in range(10):
        client.send(" " * 1000)
        time.sleep(0.01)        # so that they are not read in one piece; at these rates it makes no difference
    begin = time.monotonic()
    ask()
    return time.monotonic() - begin


def log_in(client):
    client.send(auth("PLAIN", "\0alice\0secret"))
    client.until(END)


def test_before_log_in_a_client_is_read_at_its_rate_unless_it_is_trusted(node):
    before = node.metric("c2s_throttled_total")
    with node.client(source="127.0.0.9") as trusted, node.client() as other:
        quick = seconds(trusted, lambda: log_in(trusted))
        assert node.metric("c2s_throttled_total") == before
        slow = seconds(other, lambda: log_in(other))
    assert node.metric("c2s_throttled_total") > before
    assert slow > 1 and quick < slow / 2


def test_after_log_in_the_rate_is_that_of_the_host(node, login):
    free = login("alice")
    quick = seconds(free, free.sync)
    slow_host = login("alice", host="slow.example")
    slow = seconds(slow_host, slow_host.sync)
    trusted = node.client("alice", host="slow.example", resource="t", source="127.0.0.9")
    quick = max(quick, seconds(trusted, trusted.sync))
    trusted.drop()
    assert slow > 1 and quick < slow / 2


def test_a_new_rate_counts_for_those_who_are_there(start_node):
    node = start_node(CONFIG, hosts=HOSTS)
    client = node.client("bob", host="slow.example")
    slow = seconds(client, client.sync)
    node.configure(CONFIG.replace("\nrate = 5000", "\nrate = 0"))
    node.reload()
    node.wait_log("the configuration was reloaded")
    assert seconds(client, client.sync) < slow / 2
    client.drop()
