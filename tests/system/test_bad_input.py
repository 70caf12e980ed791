# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Hostile and broken clients: each gets the stream error of RFC 6120 §4.9.3, and others do not notice."""
import re
import select
import socket
import time

import pytest

from support import BUILD, Client, wait_for

SANITIZED = "san" in BUILD.name          # memory means nothing there
CONFIG = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[sasl]
[auth_memory]
accounts = alice:secret, bob:secret, carol:secret
[rdbms]
[roster]
[presence]
"""
HEAD = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' " \
    "xmlns:stream='http://etherx.jabber.org/streams' to='localhost'>"


@pytest.fixture(autouse=True)
def bystanders(node, login):
    """Two who chat before and after whatever happens."""
    def chat(a, b, word):
        a.message(b.jid, word)
        assert f"<body>{word}</body>" in b.stanza("^<message")
    a, b = login("alice", resource="by"), login("bob", resource="by")
    chat(a, b, "before")
    yield
    chat(b, a, "after")
    assert node.process.poll() is None


def raw(node):
    return Client(node.port(), stream=False)


@pytest.mark.parametrize("text, condition", [
    ("<a", None),
    ("nonsense", "not-well-formed|bad-format"),
    (HEAD.replace("jabber:client", "jabber:server"), "invalid-namespace"),
    (HEAD.replace("http://etherx.jabber.org/streams", "http://wrong"), "invalid-namespace|bad-namespace-prefix"),
    (HEAD.replace("localhost", "nowhere.example"), "host-unknown"),
    (HEAD.replace("version='1.0' xmlns", "version='11.0' xmlns"), None),
    (HEAD + "<message></presence>", "not-well-formed"),
    (HEAD + "<!-- comment -->", "restricted-xml"),
    (HEAD + "<?pi x?>", "restricted-xml"),
    ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + HEAD, "restricted-xml"),
    (HEAD + "<message><body>&unknown;</body></message>", "not-well-formed|restricted-xml"),
    (HEAD + "text between elements<x/>", "bad-format"),
    (HEAD + "<message to='bob@localhost'><body>x</body></message>", "not-authorized"),
    (HEAD + "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", "not-authorized"),
    (HEAD + "<auth xmlns='urn:wrong'/>", "unsupported-stanza-type|not-authorized"),
    ("<?xml version='1.0' encoding='ISO-8859-1'?>" + HEAD.split("?>")[1] + "<a>\xe4</a>", "unsupported-encoding|not-well-formed"),
    (HEAD + "<message " + " ".join(f"a{i}='x'" for i in range(300)) + "/>", "policy-violation"),
    (HEAD + "<message>" + "<a>" * 500, "policy-violation"),
    (HEAD + f"<message to='{'x' * 300000}'/>", "policy-violation|resource-constraint")])
def test_before_log_in_a_broken_stream_gets_the_error_of_the_rfc(node, text, condition):
    c = raw(node)
    c.send(text)
    if condition:
        text = c.closed("</stream:stream>|<stream:error")
        assert re.search(f"<stream:error><({condition}) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/?>", text), text
    c.drop()


@pytest.mark.parametrize("text, condition", [
    ("<message><a></message>", "not-well-formed"),
    ("<unknown/>", "unsupported-stanza-type"),
    ("<message xmlns='jabber:server'/>", "invalid-namespace|unsupported-stanza-type"),
    ("<message from='bob@localhost' to='alice@localhost'/>", "invalid-from"),
    ("<!-- x -->", "restricted-xml"),
    ("<message>&lol;</message>", "not-well-formed|restricted-xml"),
    ("<message to='alice@localhost'><body>\x01</body></message>", "not-well-formed"),
    ("<x:message/>", "not-well-formed|bad-namespace-prefix"),
    ("<message>" + "<a>" * 500, "policy-violation"),
    ("<message to='alice@localhost'><body>" + "x" * 3000000, "policy-violation")])
def test_after_log_in_a_broken_stream_gets_the_error_of_the_rfc(node, text, condition):
    c = node.client("carol")
    try:
        c.send(text)
    except (ConnectionResetError, BrokenPipeError):
        pass                    # it was told while it was still sending
    text = c.closed("")
    assert re.search(f"<stream:error><({condition}) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/?>", text) or \
        "3000000" in condition, text


@pytest.mark.parametrize("to", ["@localhost", "a@", "a b@localhost", "a@localhost/" + "r" * 1024, "x" * 1024 + "@localhost",
                                "a@" + "d" * 1024, "a@loc<host".replace("<", "&lt;")])
def test_an_address_that_is_none_is_jid_malformed(login, to):
    c = login("carol")
    c.message(to, "x")
    error = c.stanza("^<message")
    assert "type='error'" in error and "<jid-malformed" in error


def test_an_address_of_the_largest_size_is_routed(login):
    c = login("carol")
    c.message("x" * 1023 + "@localhost/" + "r" * 1023, "x")
    assert "<service-unavailable" in c.stanza("^<message[^>]*type='error'")


@pytest.mark.parametrize("resource, good", [("r" * 1023, True), ("r" * 1024, False), ("\x7f", False)])
def test_a_resource_is_bound_up_to_its_bound(node, resource, good):
    c = node.client()
    c.authenticate("carol")
    answer = c.iq("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                  f"<resource>{resource}</resource></bind>")
    assert ("type='result'" in answer) == good
    if not good:
        assert "<bad-request" in answer or "<jid-malformed" in answer
    c.drop()


def test_one_byte_at_a_time_is_slow_and_right(node):
    c = raw(node)
    for byte in HEAD:
        c.send(byte)
    assert "<mechanism>" in c.until("</stream:features>")
    c.drop()


@pytest.mark.parametrize("data", ["=", "====", "A", "AGFsaWNl*", "\xe4", "A" * 100000])
def test_malformed_base64_is_an_error_of_sasl_and_the_stream_goes_on(node, data):
    c = node.client()
    c.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{data}</auth>")
    assert re.search("<(incorrect-encoding|malformed-request|not-authorized)", c.until("</failure>|</stream:stream>")) \
        or len(data) > 1000
    c.drop()


def test_thousands_of_half_open_connections_hinder_nobody(node, login):
    sockets = []
    try:
        for _ in range(4000):
            sockets.append(socket.create_connection(("127.0.0.1", node.port()), timeout=10))
            if len(sockets) % 2:
                sockets[-1].sendall(b"<stream:str")
        late = time.monotonic()
        c = login("carol", resource="late")
        c.message(c.jid, "through the crowd")
        assert "through the crowd" in c.stanza("^<message")
        assert time.monotonic() - late < 5
    finally:
        for s in sockets:
            s.close()


def test_who_never_reads_is_cut_off_and_its_memory_is_bounded(node, login):
    def memory():
        status = open(f"/proc/{node.process.pid}/status", encoding="ascii").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    deaf = login("carol", resource="deaf")
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender = login("bob", resource="sender")
    before, body = memory(), "x" * 8000
    for _ in range(6000):
        sender.message(deaf.jid, body)
        if "type='error'" in sender.buffer:
            break
        readable, _, _ = select.select([sender.socket], [], [], 0)
        if readable:
            sender.receive()
    sender.until("type='error'")        # the session is gone, and its messages are not
    assert SANITIZED or memory() - before < 40000, "KB"
    wait_for(lambda: "carol@localhost/deaf" not in node.control("status"), "the session is gone")
