# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Hostile and broken clients: each gets the stream error of RFC 6120 §4.9.3, and others do not notice."""
import re
import resource
import select
import socket
import struct
import threading
import time

import pytest

from support import BUILD, END, SASL, Client, auth, wait_for

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
NS_STREAM = "http://etherx.jabber.org/streams"
HEAD = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' " \
    f"xmlns:stream='{NS_STREAM}' to='localhost'>"
BARE = HEAD.split("?>")[1]
EXPANSION = "<!DOCTYPE a [" + "<!ENTITY l0 'lol'>" + "".join(
    f"<!ENTITY l{i} '" + f"&l{i - 1};" * 10 + "'>" for i in range(1, 10)) + "]>"


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


def bytes_of(text):
    return text if isinstance(text, bytes) else text.encode()


def refused(node, client, data, condition):
    """The stream ends with this error, which is counted."""
    before = node.metric("c2s_stream_errors_total", f'"{condition}"')
    try:
        client.socket.sendall(bytes_of(data))
    except (ConnectionResetError, BrokenPipeError):
        pass                    # it was told while it was still sending
    text = client.closed()
    assert f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in text, text
    assert text.startswith("<?xml version='1.0'?><stream:stream ") or client.jid
    assert text.endswith("</stream:error></stream:stream>")
    assert node.metric("c2s_stream_errors_total", f'"{condition}"') == before + 1
    client.drop()


# -- before log-in

BEFORE = {
    "no XML": ("nonsense", "not-well-formed"),
    "another protocol": ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed"),
    "TLS in the clear": (b"\x16\x03\x01\x02\x00\x01", "not-well-formed"),
    "the namespace of servers": (HEAD.replace("jabber:client", "jabber:server"), "invalid-namespace"),
    "another namespace of streams": (HEAD.replace(NS_STREAM, "http://wrong"), "invalid-namespace"),
    "no prefix": ("<stream xmlns='jabber:client' version='1.0' to='localhost'>", "bad-namespace-prefix"),
    "a prefix that is not declared": ("<stream:stream xmlns='jabber:client' version='1.0' to='localhost'>", "not-well-formed"),
    "no stream": (HEAD.replace("<stream:stream", "<stream:flow"), "bad-format"),
    "unknown host": (HEAD.replace("localhost", "nowhere.example"), "host-unknown"),
    "no host": (HEAD.replace("localhost", "no host@@"), "host-unknown"),
    "no version": (HEAD.replace(" version='1.0' xmlns", " xmlns"), "unsupported-version"),
    "version 0.9": (HEAD.replace("version='1.0' xmlns", "version='0.9' xmlns"), "unsupported-version"),
    "version none": (HEAD.replace("version='1.0' xmlns", "version='none' xmlns"), "unsupported-version"),
    "XML 1.1": (HEAD.replace("<?xml version='1.0'", "<?xml version='1.1'"), "not-well-formed"),
    "Latin 1": ("<?xml version='1.0' encoding='ISO-8859-1'?>" + BARE, "unsupported-encoding"),
    "UTF-16 with a mark": (HEAD.encode("utf-16"), "unsupported-encoding"),
    "UTF-16, little end first": (BARE.encode("utf-16-le"), "unsupported-encoding"),
    "UTF-16, big end first": (BARE.encode("utf-16-be"), "unsupported-encoding"),
    "mismatched tags": (HEAD + "<message></presence>", "not-well-formed"),
    "an attribute twice": (HEAD + "<a b='1' b='2'/>", "not-well-formed"),
    "a namespace with a separator in it": (HEAD + "<iq xmlns='jabber:client&#10;iq'/>", "not-well-formed"),
    "the prefix xml for something else": (HEAD + "<a xmlns:xml='urn:x'/>", "not-well-formed"),
    "half a character": (HEAD.encode() + b"<a b='\xf3'>", "not-well-formed"),
    "a surrogate": (HEAD.encode() + b"<a>\xed\xa0\x80</a>", "not-well-formed"),
    "zero in two bytes": (HEAD.encode() + b"<a>\xc0\x80</a>", "not-well-formed"),
    "zero by reference": (HEAD + "<a>&#0;</a>", "not-well-formed"),
    "a comment": (HEAD + "<!-- comment -->", "restricted-xml"),
    "half a comment": (HEAD + "<!-- comment >", "restricted-xml"),
    "an instruction": (HEAD + "<?pi x?>", "restricted-xml"),
    "half an instruction": (HEAD + "<?pi >", "restricted-xml"),
    "an unknown entity": (HEAD + "<message><body>&unknown;</body></message>", "restricted-xml"),
    "entities that multiply": (EXPANSION + BARE + "<a>&l9;</a>", "restricted-xml"),
    "an entity outside": ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'>" + BARE, "restricted-xml"),
    "a document type later": (HEAD + EXPANSION, "restricted-xml"),
    "text between elements": (HEAD + "text between elements<x/>", "bad-format"),
    "CDATA between elements": (HEAD + "<![CDATA[<x/>]]>", "bad-format"),
    "a second header": (HEAD + BARE, "bad-format"),
    "a message": (HEAD + "<message to='bob@localhost'><body>x</body></message>", "not-authorized"),
    "a request": (HEAD + "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", "not-authorized"),
    "SASL of another namespace": (HEAD + "<auth xmlns='urn:wrong' mechanism='PLAIN'/>", "not-authorized"),
    "stream management": (HEAD + "<enable xmlns='urn:xmpp:sm:3'/>", "not-authorized"),
    "300 attributes": (HEAD + "<message " + " ".join(f"a{i}='x'" for i in range(300)) + "/>", "policy-violation"),
    "300 namespaces": (HEAD + "<message " + " ".join(f"xmlns:a{i}='x'" for i in range(300)) + "/>", "policy-violation"),
    "500 levels": (HEAD + "<message>" + "<a>" * 500, "policy-violation"),
    "a huge attribute": (HEAD + f"<message to='{'x' * 300000}'/>", "policy-violation"),
    "a huge text": (HEAD + "<auth>" + "x" * 300000, "policy-violation"),
    "a huge tag": (HEAD + "<" + "x" * 300000, "policy-violation"),
    "a huge header": ("<stream:stream to='" + "x" * 300000, "policy-violation"),
    "a long way to a tag": (HEAD + "x" * 300000, "bad-format"),
}


@pytest.mark.parametrize("what", BEFORE)
def test_before_log_in_a_broken_stream_gets_the_error_of_the_rfc(node, what):
    data, condition = BEFORE[what]
    refused(node, raw(node), data, condition)


@pytest.mark.parametrize("what", [w for w in BEFORE if "huge" not in w and "long" not in w])
def test_it_is_the_same_error_byte_by_byte(node, what):
    data, condition = BEFORE[what]
    c = raw(node)
    c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = bytes_of(data)
    # The last bytes alone: those before are read already.
    for part in (data[:len(data) // 2], *(data[i:i + 1] for i in range(len(data) // 2, len(data)))):
        try:
            c.socket.sendall(part)
        except (ConnectionResetError, BrokenPipeError):
            break
    assert f"<{condition} " in c.closed(), c.buffer
    c.drop()


@pytest.mark.parametrize("header", [
    HEAD.replace("version='1.0' xmlns", "version='11.0' xmlns"), HEAD.replace(" to='localhost'", ""),
    "\ufeff" + BARE, " \r\n " + HEAD, "<?xml version='1.0' encoding='utf-8'?>\n" + BARE,
    f"<x:stream xmlns:x='{NS_STREAM}' xmlns='jabber:client' version='1.0' to='localhost'>",
    f"<stream xmlns='{NS_STREAM}' xmlns:c='jabber:client' version='1.0' to='localhost'>"])
def test_an_unusual_header_is_good_all_the_same(node, header):
    with raw(node) as c:
        c.send(header)
        assert "<mechanism>" in c.until("</stream:features>")


# -- after log-in

AFTER = {
    "mismatched tags": ("<message><a></message>", "not-well-formed"),
    "an unknown element": ("<unknown/>", "unsupported-stanza-type"),
    "a stanza of servers": ("<message xmlns='jabber:server' to='bob@localhost'/>", "unsupported-stanza-type"),
    "a stanza of no namespace": ("<message xmlns='' to='bob@localhost'/>", "unsupported-stanza-type"),
    "SASL again": ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>",
                   "unsupported-stanza-type"),
    "somebody else": ("<message from='bob@localhost' to='alice@localhost'/>", "invalid-from"),
    "another resource": ("<message from='carol@localhost/other' to='alice@localhost'/>", "invalid-from"),
    "a sender that is no address": ("<message from='@@' to='alice@localhost'/>", "invalid-from"),
    "a comment": ("<!-- x -->", "restricted-xml"),
    "an instruction inside": ("<message><?x >", "restricted-xml"),
    "an entity": ("<message>&lol;</message>", "restricted-xml"),
    "a control character": ("<message to='alice@localhost'><body>\x01</body></message>", "not-well-formed"),
    "a prefix that is not declared": ("<x:message/>", "not-well-formed"),
    "a header": (BARE, "bad-format"),
    "text": ("text", "bad-format"),
    "500 levels": ("<message>" + "<a>" * 500, "policy-violation"),
    "a huge body": ("<message to='alice@localhost'><body>" + "x" * 3000000, "policy-violation"),
}


@pytest.mark.parametrize("what", AFTER)
def test_after_log_in_a_broken_stream_gets_the_error_of_the_rfc(node, what):
    data, condition = AFTER[what]
    refused(node, node.client("carol"), data, condition)


def test_a_stream_error_of_the_client_is_answered_by_the_end_of_the_stream(node):
    c = node.client("carol")
    c.send("<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
    assert c.closed() == "</stream:stream>"
    c.drop()


@pytest.mark.parametrize("half", ["<message to='bob@localhost/by'><body>half", "<message to='bob@localhost/by'><body>half</body>",
                                  "<message to='bob@localhost/by'><body>half</body></message", "<", "<message to='bob"])
@pytest.mark.parametrize("how", ["end", "reset", "end of stream"])
def test_a_stanza_cut_short_goes_to_nobody(node, login, half, how):
    bob = login("bob", resource="watch")
    before = node.metric("c2s_streams")
    c = node.client("carol", resource="cut")
    assert node.metric("c2s_streams") == before + 1
    c.send(half)
    if how == "reset":
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "end of stream":
        c.socket.shutdown(socket.SHUT_WR)
        c.closed()
    c.drop()
    wait_for(lambda: node.metric("c2s_streams") == before, "the end of the session")
    bob.nothing()


@pytest.mark.parametrize("half", ["<?pi >", "<!-- open >", "<![CDATA[ >", "<a b='>", "<message><body>]"])
def test_what_one_client_leaves_half_said_is_not_in_the_way_of_others(node, login, half):
    clients = [raw(node) for _ in range(20)]
    for c in clients:
        c.send(HEAD)
        c.until("</stream:features>")
        c.send(half)
    a, b = login("alice", resource="a"), login("bob", resource="b")
    for i in range(10):
        a.message(b.jid, f"{i}")
        assert f"<body>{i}</body>" in b.stanza("^<message")
    for c in clients:
        c.drop()


# -- addresses

@pytest.mark.parametrize("kind, type_", [("message", "chat"), ("iq", "get"), ("presence", "subscribe")])
@pytest.mark.parametrize("to", ["", "@localhost", "a@", "a@@localhost", "a b@localhost", "a@localhost/", "a@localhost/" + "r" * 1024,
                                "a@localhost/\u00e4" + "\u00e4" * 511 + "r", "x" * 1024 + "@localhost",
                                "\u00e4" * 512 + "@localhost", "a@" + "d" * 1024, "a@" + "d" * 64 + ".example", "a@..", "a@loc&lt;host",
                                "a@localhost/\u0000".replace("\0", "&#x7f;")])
def test_an_address_that_is_none_is_jid_malformed(login, kind, type_, to):
    c = login("carol")
    c.send(f"<{kind} to='{to}' type='{type_}' id='j'><query xmlns='jabber:iq:version'/></{kind}>")
    error = c.stanza(f"^<{kind}")
    assert "type='error'" in error and "<jid-malformed" in error and "id='j'" in error and f"to='{c.jid}'" in error


LONGEST = ".".join(["d" * 63] * 3) + "." + "d" * 61


@pytest.mark.parametrize("to, condition", [
    ("x" * 1023 + "@localhost/" + "r" * 1023, "service-unavailable"),
    ("\u00e4" * 511 + "@localhost/" + "\u00e4" * 511, "service-unavailable"),
    (f"{'x' * 1023}@{LONGEST}/{'r' * 1023}", "remote-server-not-found")])
def test_an_address_of_the_largest_size_is_routed(login, to, condition):
    c = login("carol")
    c.message(to, "x")
    assert f"<{condition}" in c.stanza("^<message[^>]*type='error'")


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


@pytest.mark.parametrize("data", ["====", "A", "AAAAA", "AGFsaWNl*", "AGFs aWNl", "AA=A", "AAA=AAAA", "\u00e4", "&lt;&gt;"])
def test_malformed_base64_is_an_error_of_sasl_and_the_stream_goes_on(node, data):
    before = node.metric("sasl_refused_total", "incorrect-encoding")
    with node.client() as c:
        c.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{data}</auth>")
        assert "<incorrect-encoding/>" in c.until(END)
        # In the middle of an exchange as well.
        c.send(auth("SCRAM-SHA-1", "n,,n=carol,r=abc"))
        c.until("</challenge>")
        c.send(f"<response xmlns='{SASL}'>{data}</response>")
        assert "<incorrect-encoding/>" in c.until(END)
        c.login("carol")
    assert node.metric("sasl_refused_total", "incorrect-encoding") == before + 1


# -- too much, too slow

def test_ten_thousand_half_open_connections_hinder_nobody(node, login):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10000, hard - 1000)
    begins = [b"", b"<stream:str", HEAD.encode(), HEAD.encode() + b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"]
    sockets, before = [], node.metric("c2s_streams")
    try:
        for i in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", node.port()), timeout=30))
            sockets[-1].sendall(begins[i % 4])
        wait_for(lambda: node.metric("c2s_streams") == before + count, "all to be accepted", 60)
        late = time.monotonic()
        c = login("carol", resource="late")
        c.message(c.jid, "through the crowd")
        assert "through the crowd" in c.stanza("^<message")
        assert time.monotonic() - late < 5
    finally:
        for s in sockets:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: node.metric("c2s_streams") == before + 1, "the end of them all", 60)


def push(client, data, seconds=0.5):
    """Sends as fast as it is taken, until nothing was taken for a while or the connection ends."""
    client.socket.setblocking(False)
    sent = 0
    while select.select([], [client.socket], [], seconds)[1]:
        try:
            sent += client.socket.send(data)
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            break
    client.socket.setblocking(True)
    return sent


FLOODS = {"white space": (b" " * 65536, None), "requests": (b"<iq type='get' id='x'/>" * 1000, "not-authorized"),
          "levels": (b"<a>" * 10000, "policy-violation"), "elements": (b"<a/>" * 10000, "not-authorized"),
          "log-ins": (b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>" * 500, "policy-violation")}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_before_log_in_is_not_read_and_costs_little(node, login, what):
    flood, condition = FLOODS[what]
    throttled, before = node.metric("c2s_throttled_total"), node.memory()
    clients = [node.client() for _ in range(8)]
    threads = [threading.Thread(target=push, args=(c, flood)) for c in clients]
    for t in threads:
        t.start()
    a, b = login("alice", resource="a"), login("bob", resource="b")
    for i in range(20):
        a.message(b.jid, f"{i}")
        assert f"<body>{i}</body>" in b.stanza("^<message")
    for t in threads:
        t.join()
    assert SANITIZED or node.memory() - before < 8000, "KB"
    for c in clients:
        if condition:
            c.closed(f"<{condition} ")
        c.drop()
    assert condition or node.metric("c2s_throttled_total") >= throttled + len(clients)


def test_who_never_reads_is_cut_off_and_its_memory_is_bounded(node, login):
    deaf = login("carol", resource="deaf")
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender = login("bob", resource="sender")
    before, slow, body = node.memory(), node.metric("c2s_slow_clients_total"), "x" * 8000
    streams = node.metric("c2s_streams")
    for _ in range(6000):
        sender.message(deaf.jid, body)
        if "type='error'" in sender.buffer:
            break
        readable, _, _ = select.select([sender.socket], [], [], 0)
        if readable:
            sender.receive()
    sender.until("type='error'")        # the session is gone, and its messages are not
    assert SANITIZED or node.memory() - before < 40000, "KB"
    wait_for(lambda: node.metric("c2s_streams") == streams - 1, "the session is gone")
    assert node.metric("c2s_slow_clients_total") == slow + 1


def test_who_asks_and_never_reads_is_not_read_from(node, login):
    """It cannot make more answers than the queue holds; and when it reads, it gets every one."""
    deaf = login("carol", resource="deaf")
    before, one = node.memory(), b"<iq type='get' id='x' to='localhost'><a xmlns='urn:nothing'/></iq>"
    sent = push(deaf, one * 100)
    assert SANITIZED or node.memory() - before < 20000, "KB"
    rest = one[sent % len(one):] if sent % len(one) else b""
    writer = threading.Thread(target=deaf.socket.sendall, args=(rest + b"<iq type='get' id='last' to='localhost'/>",))
    writer.start()
    answers, tail = 0, b""
    while b"id='last'" not in tail:
        data = tail + deaf.socket.recv(1 << 20)
        cut = data.rfind(b"<iq ")
        answers += data.count(b"id='x'", 0, cut)
        tail = data[cut:]
    writer.join()
    assert answers == -(-sent // len(one))
