# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What a broken or hostile peer sends to the port of the cluster links: it is refused and logged, and harms nobody."""
import hashlib
import hmac
import random
import socket
import struct
import subprocess

import pytest

import peer
import support
from cluster import Cluster, metric
from peer import Peer, frame, operation


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("hostile"), kind="sqlite", grace="500ms").up(2)
    yield made
    made.down()


@pytest.fixture(autouse=True)
def unharmed(cluster):
    """Whatever happened: both nodes are there, in sync, and their users talk."""
    yield
    cluster.wait_joined()
    assert len(cluster.alive()) == 2
    support.wait_for(lambda: metric(cluster.nodes[0], "cluster_records") == 0, "the peer's records to go")
    with cluster.nodes[0].client("u0") as alice, cluster.nodes[1].client("u1") as bob:
        cluster.wait_sessions(2)
        alice.message(bob.jid, "still here")
        assert "still here" in bob.stanza("^<message")
    cluster.wait_sessions(0)


def mark(node):
    return len(node.log())


def wait_logged(node, since, text):
    support.wait_for(lambda: text in node.log()[since:], f"'{text}' in the log")


def port(node):
    return int(node.wait_log(r"listening for 'cluster' on [^ ]*:(\d+)").group(1))


# -- before the greeting


@pytest.mark.parametrize("data, said", [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "at most 4096"),
    (b"<?xml version='1.0'?><stream:stream>", "at most 4096"),
    (b"\xff" * 100, "at most 4096"),
    (struct.pack("<I", 0) + b"x", "at most 4096"),
    (struct.pack("<I", 5000) + b"\x01", "at most 4096"),
    (frame(peer.HELLO), "no greeting of a node"),
    (frame(peer.HELLO, b"\x00" * 60), "no greeting of a node"),
    (frame(peer.HELLO, struct.pack("<I", peer.MAGIC) + b"\xff" * 40), "no greeting of a node"),
    (frame(peer.OPS, b"\x00" * 12), "a frame of type 4 that makes no sense"),
    (frame(peer.PING), "a frame of type 9 that makes no sense"),
    (frame(peer.REQUEST, struct.pack("<QI", 1, 1)), "frame of type 64 from"),
    (frame(200), "frame of type 200 from"),
])
def test_who_does_not_greet_is_hung_up_on(cluster, data, said):
    node = cluster.nodes[0]
    since = mark(node)
    stranger = Peer(node, greet=False)
    stranger.raw(data)
    stranger.ended()
    wait_logged(node, since, said)


def test_who_says_nothing_is_hung_up_on(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite")
    try:
        node = cluster.add(args=("--set", "cets.handshake=300ms"))
        silent = Peer(node, greet=False)
        assert {t for t, _ in silent.ended()} <= {peer.HELLO, peer.PING}
    finally:
        cluster.down()


def test_connections_without_a_greeting_are_bounded_and_hold_nobody_up(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite")
    crowd = []
    try:
        node = cluster.add(args=("--set", "cets.handshake=2s"))
        for _ in range(400):
            crowd.append(socket.create_connection(("127.0.0.1", port(node))))
        support.wait_for(lambda: metric(node, "cluster_refused_total") >= 100, "connections that are refused")
        cluster.add()
        cluster.wait_joined()
    finally:
        for s in crowd:
            s.close()
        cluster.down()


@pytest.mark.parametrize("more, said", [
    ({"cluster": "other"}, "cluster 'other' is not 'meerkat'"),
    ({"low": 2, "high": 9}, "protocol 2 to 9, not 1 to 1"),
    ({"low": 0, "high": 0}, "protocol 0 to 0, not 1 to 1"),
    ({"name": "n0", "start": 1 << 60}, "the later must go"),
    ({"name": "n1", "start": 1 << 60}, "is connected in another life"),
    ({"number": 1, "start": 1 << 60}, "number 1"),
    ({"number": 0}, "no greeting of a node"),
    ({"name": ""}, "no greeting of a node"),
])
def test_a_node_that_does_not_fit_is_refused_and_told_why(cluster, more, said):
    node = cluster.nodes[0]
    since = mark(node)
    frames = Peer(node, **more).ended()
    wait_logged(node, since, said)
    refusals = [payload for type_, payload in frames if type_ == peer.REFUSE]
    if "greeting" not in said:
        assert len(refusals) == 1 and said.encode() in refusals[0]


# -- a member that sends nonsense


def greeted(node, **more):
    p = Peer(node, **more)
    p.expect(peer.HELLO)
    p.expect(peer.STATE)
    return p


@pytest.mark.parametrize("type_, payload", [
    (peer.HELLO, b""),
    (peer.STATE, b"\x01"),
    (peer.OPS, b""),
    (peer.OPS, struct.pack("<QI", 2, 1) + operation(peer.PUT, 0, b"g", b"k", b"v")),
    (peer.OPS, struct.pack("<QI", 1, 0)),
    (peer.OPS, struct.pack("<QI", 1, 1) + operation(peer.PUT, 7, b"g", b"k", b"v")),
    (peer.OPS, struct.pack("<QI", 1, 2) + operation(peer.TABLE, 0, b"sessions", b"", struct.pack("<I", 1))),
    (peer.OPS, struct.pack("<QI", 1, 1) + struct.pack("<IBBHHH", 12, 1, 0, 0, 500, 500)),
    (peer.OPS, struct.pack("<QI", 1, 1) + struct.pack("<IBBHHH", 0xFFFFFFFF, 1, 0, 0, 1, 1) + b"gk"),
    (peer.OPS, struct.pack("<QI", 1, 1) + operation(peer.TABLE, 0, b"sessions", b"", b"\x01")),
    (peer.OPS, struct.pack("<QI", 1, 0xFFFFFFFF)),
    (peer.SNAP, b"\x00" * 30),
    (peer.SNAP_END, struct.pack("<Q", 5)),
    (peer.SNAP_BEGIN, struct.pack("<QH", 0, 3)),
    (peer.ACK, struct.pack("<QB", 1 << 60, 1)),
    (peer.ACK, b""),
    (peer.DIGEST, b""),
    (peer.RESYNC, b""),
    (peer.CLAIM, b"\x00"),
    (peer.CLAIM_ANSWER, b"\x00"),
    (peer.QUEUE, b""),
    (peer.QUEUE, struct.pack("<QQQ", 0, 0, 0)),
    (peer.RECEIVED, struct.pack("<Q", 99)),
    (peer.REQUEST, struct.pack("<QI", 5, 1)),
    (peer.REQUEST, b"\x01"),
    (peer.ANSWERS, struct.pack("<QQ", 9, 1)),
    (peer.ANSWER, struct.pack("<Q", 1)),
])
def test_a_frame_that_makes_no_sense_ends_the_link(cluster, type_, payload):
    node = cluster.nodes[0]
    since = mark(node)
    p = greeted(node)
    p.send(type_, payload)
    p.ended()
    wait_logged(node, since, "makes no sense")


def test_frames_of_a_later_version_are_skipped(cluster):
    p = Peer(cluster.nodes[0]).join()
    for type_ in (15, 40, 63, 69, 200, 255):
        p.send(type_, b"later")
    p.operate(operation(9, 0, b"g", b"k", b"a kind of operation that we do not know"))
    p.send(peer.PING)
    item = p.request("no such channel", b"")
    assert p.answered(item) == b""
    p.drop()


def test_a_frame_that_is_too_long_ends_the_link(cluster):
    node = cluster.nodes[0]
    since = mark(node)
    p = greeted(node)
    p.raw(struct.pack("<IB", (4 << 20) + 1, peer.OPS) + b"x" * 1000)
    p.ended()
    wait_logged(node, since, "at most 4194304")


def memory(node):
    return int(open(f"/proc/{node.process.pid}/status").read().split("VmRSS:")[1].split()[0])


def test_what_a_peer_sends_takes_no_more_memory_than_a_frame(cluster):
    node = cluster.nodes[0]
    before = memory(node)
    crowd = [greeted(node, name=f"big{i}", number=900 + i) for i in range(3)]
    for p in crowd:
        p.raw(struct.pack("<IB", 4 << 20, peer.OPS))
        try:
            for _ in range(1000):
                p.raw(b"x" * 65536)
        except OSError:
            pass
        p.ended()
        p.drop()
    assert memory(node) - before < 120000       # KB; 190 MB were sent


def test_what_was_said_before_is_not_believed_again(cluster):
    """A link's bytes recorded and sent again, to the same node: another life of the same name is refused, operations that were applied are a
    gap, requests that came are dropped."""
    node = cluster.nodes[0]
    p = Peer(node).join()
    with node.client("u2") as bob:
        stanza = (f"<message from='u9@localhost/x' to='{bob.jid}'><body>once</body></message>").encode()
        there = session_of(p, bob.jid)
        said = frame(peer.REQUEST, struct.pack("<QI", 1, peer.channel("stanza")) + struct.pack("<QB", there, 0) + stanza)
        p.raw(said + said + said)
        assert "once" in bob.stanza("^<message")
        bob.nothing("once")
        p.operate(operation(peer.TABLE, 0, b"sessions", b"", struct.pack("<I", 1)))
        again = Peer(node)          # the same name in another life, while the first is linked
        assert b"is connected in another life" in [x for t, x in again.ended() if t == peer.REFUSE][0]
        since = mark(node)
        p.operations = 0
        p.operate(operation(peer.TABLE, 0, b"sessions", b"", struct.pack("<I", 1)))
        p.ended()
        wait_logged(node, since, "makes no sense")


def session_of(p, jid):
    """The session's id at its node, from the record that the node tells its peers."""
    bare, resource = jid.encode().split(b"/")
    payload = b""
    while bare + resource not in payload:
        payload = p.expect(peer.OPS)
    at = payload.index(bare + resource) + len(bare + resource)
    return struct.unpack_from("<Q", payload, at)[0]


def test_requests_whose_insides_make_no_sense_are_answered_and_harm_nobody(cluster):
    seed = random.Random(7)
    p = Peer(cluster.nodes[0]).join()
    items = []
    for name in ("stanza", "keep", "end", "sm", "reload " * 10, "roster", "blocking", "presence", "admin"):
        for length in (0, 1, 7, 8, 9, 16, 17, 40, 400):
            data = bytes(seed.randrange(256) for _ in range(length))
            items.append(p.request(name, data))
    for what in (1, 2, 3):      # module sm: a request's first byte
        for length in (0, 8, 23, 24, 56, 57, 80, 500):
            items.append(p.request("sm", bytes([what]) + bytes(seed.randrange(256) for _ in range(length))))
    for item in items:
        p.answered(item)
    p.drop()


def test_random_bytes_after_the_greeting_harm_nobody(cluster):
    seed = random.Random(11)
    for i in range(60):
        p = greeted(cluster.nodes[0], name=f"random{i}", number=800 + i)
        type_ = seed.choice([*range(1, 15), *range(64, 69)])
        try:
            for _ in range(5):
                p.send(type_, bytes(seed.randrange(256) for _ in range(seed.randrange(80))))
        except OSError:
            pass
        p.drop()


# -- links that must be secure


def secure(cluster, secret):
    return ("--set", f"cets.secret={secret}")


def test_who_has_another_secret_does_not_get_in(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite")
    try:
        first = cluster.add(args=secure(cluster, "a secret that all nodes share"))
        other = cluster.make(args=secure(cluster, "another secret of the same kind"))
        other.start()
        for node in (first, other):
            node.wait_log("TLS failed, so the secret or the certificates differ")
        assert metric(first, "cluster_nodes_joined") == 0 == metric(other, "cluster_nodes_joined")
        assert "cets.joined" not in first.log() + other.log()
    finally:
        cluster.down()


def test_who_speaks_in_the_clear_to_a_secure_link_is_hung_up_on(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite")
    try:
        node = cluster.add(args=secure(cluster, "a secret that all nodes share"))
        assert Peer(node).ended() == []
        node.wait_log("TLS failed")
        assert "a secret" not in node.log()
    finally:
        cluster.down()


@pytest.mark.parametrize("arguments, good", [
    (["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-psk", "{right}", "-psk_identity", "meerkat"], True),
    (["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-psk", "00" * 32, "-psk_identity", "meerkat"], False),
    (["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-psk", "{right}", "-psk_identity", "other"], False),
    (["-tls1_3"], False),
    (["-tls1_2"], False),
])
def test_only_the_key_of_the_secret_opens_a_link(tmp_path, arguments, good):
    right = hmac.digest(b"a secret that all nodes share", b"meerkat cluster link", hashlib.sha256).hex()
    cluster = Cluster(tmp_path, kind="sqlite")
    try:
        node = cluster.add(args=secure(cluster, "a secret that all nodes share"))
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port(node)}", "-quiet",
                                   *[a.format(right=right) for a in arguments]], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert (b"MKET" in client.stdout.read(9)) == good       # or the end, when it is not let in
        finally:
            client.kill()
            client.communicate()
    finally:
        cluster.down()


# -- links by certificates

def openssl(*arguments, **more):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **more)


def authority(folder):
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=node", "-keyout", folder / "node.key",
            "-out", folder / "node.csr")
    openssl("x509", "-req", "-in", folder / "node.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial",
            "-days", "2", "-out", folder / "node.pem")
    return folder


def certified(own, trusted):
    return ("--set", f"cets.certificate={own}/node.pem", "--set", f"cets.key={own}/node.key", "--set", f"cets.ca={trusted}/ca.pem")


def test_nodes_with_certificates_of_one_authority_are_a_cluster_and_others_do_not_get_in(tmp_path):
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    cluster = Cluster(tmp_path / "cluster", kind="sqlite")
    try:
        for _ in range(2):
            cluster.add(args=certified(ours, ours))
        cluster.wait_joined()
        alice, bob = cluster.login(0, "u0"), cluster.login(1, "u1")
        cluster.wait_sessions(2)
        alice.message(bob.jid, "in confidence")
        assert "in confidence" in bob.stanza("^<message")
        for args in (certified(theirs, ours), certified(theirs, theirs), secure(cluster, "a secret that nobody shares"), ()):
            stranger = cluster.make(args=args).start()
            since = mark(cluster.nodes[0])
            wait_logged(cluster.nodes[0], since, "TLS failed")
            assert "cets.joined" not in stranger.log()
            stranger.stop()
        assert all(metric(n, "cluster_nodes_joined") == 1 for n in cluster.nodes[:2])
    finally:
        cluster.down()
