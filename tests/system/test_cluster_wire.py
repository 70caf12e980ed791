# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Two releases in one cluster: the bytes that a release writes on its links are kept in tests/wire, and the nodes of today read them, and
write what it reads.

A file has a frame a line, its name and its bytes in hexadecimal; {name} stands for bytes that differ from run to run.
MEERKAT_RECORD=tests/wire/VERSION writes the file of this release anew.
"""
import os
import pathlib
import re
import struct

import pytest

import peer
import support
from cluster import Cluster, metric
from peer import Peer, frame
from test_sm import bodies, enable, reset, resume

WIRE = pathlib.Path(__file__).parents[1] / "wire"
RELEASES = sorted(p.name for p in WIRE.iterdir())
RECORD = os.environ.get("MEERKAT_RECORD")


def load(release):
    lines = [line for line in (WIRE / release).read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" = ") for line in lines)


def fill(template, **values):
    """The bytes of a recorded frame, with our values in it."""
    text = re.sub(r"\{(\w+)\}", lambda m: values[m.group(1)].hex(), template)
    return bytes.fromhex(text)


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path, kind="sqlite", more="[sm]\nacknowledge = safe\n")
    yield made
    made.down()


class Recorder:
    """Frames of the node, as text; each of a name once."""

    def __init__(self):
        self.seen = {}

    def add(self, what, type_, *parts):
        """Parts of the payload: bytes, or (name, bytes) for what differs from run to run."""
        whole = frame(type_, b"".join(p if isinstance(p, bytes) else p[1] for p in parts))
        self.seen[what] = whole[:5].hex() + "".join(p.hex() if isinstance(p, bytes) else "{" + p[0] + "}" for p in parts)

    def compare(self):
        if RECORD:
            head = ("# What a node of this release writes on a cluster link: docs/cluster-protocol.md says what it means.\n"
                    "# Written by tests/system/test_cluster_wire.py; never changed after the release.\n")
            pathlib.Path(RECORD).write_text(head + "".join(f"{k} = {v}\n" for k, v in self.seen.items()))
        for release in RELEASES:
            recorded = load(release)
            different = [n for n in recorded if n in self.seen and recorded[n] != self.seen[n]]
            assert not different, "".join(f"\n{n} was {recorded[n]}\n{n} is  {self.seen[n]}" for n in different)
            assert set(recorded) <= set(self.seen)


def payload_with(p, type_, needle):
    """The next frame of this type that has `needle` in it."""
    while True:
        payload = p.expect(type_)
        if needle in payload:
            return payload


def operations(payload):
    """The operations of an OPS frame."""
    count, at = struct.unpack_from("<I", payload, 8)[0], 12
    for _ in range(count):
        length = struct.unpack_from("<I", payload, at)[0]
        yield payload[at:at + length]
        at += length


def one_operation(p, needle, kind):
    while True:
        for op in operations(payload_with(p, peer.OPS, needle)):
            if needle in op and op[4] == kind:
                return op


def test_what_a_node_writes_is_what_earlier_releases_read(cluster):
    node = cluster.add()
    r = Recorder()
    bob = cluster.login(0, "u1", resource="phone")
    cluster.wait_sessions(1)

    # Greeting, snapshot
    p = Peer(node, name="n1", number=2)
    hello = p.expect(peer.HELLO)
    incarnation, start = hello[10:18], hello[18:26]
    info = hello[hello.index(b"\x02\x00n0") + 4:]
    assert b"hosts=localhost;" in info and b"tables=" in info and b"sessions/1" in info
    r.add("hello", peer.HELLO, hello[:10], ("incarnation", incarnation), ("start", start),
          hello[26:hello.index(b"\x02\x00n0") + 4])
    state = p.expect(peer.STATE)
    assert state[:8] == struct.pack("<Q", p.incarnation)
    r.add("state", peer.STATE, ("ours", state[:8]), state[8:])
    p.node_incarnation = struct.unpack("<Q", incarnation)[0]
    p.send(peer.STATE, struct.pack("<QQB", p.node_incarnation, 0, 0))
    begin = p.expect(peer.SNAP_BEGIN)
    last, count = struct.unpack_from("<QH", begin)
    at = begin.index(b"\x08\x00sessions") - 4
    r.add("snap_begin", peer.SNAP_BEGIN, ("last", begin[:8]), b"\x01\x00" + begin[at:at + 14])
    snap = payload_with(p, peer.SNAP, b"u1@localhostphone")
    at = snap.index(b"u1@localhostphone") - 12 - 8
    snap = snap[at:at + 8 + struct.unpack_from("<I", snap, at + 8)[0]]
    value = snap[-24:]
    session = value[:8]
    r.add("snap", peer.SNAP, ("number", snap[:8]), snap[8:14] + b"\0\0" + snap[16:-24], ("session", session),
          ("since", value[8:16]), value[16:])
    assert p.expect(peer.SNAP_END) == begin[:8]
    r.add("snap_end", peer.SNAP_END, ("last", begin[:8]))
    p.acked = last
    p.send(peer.SNAP_BEGIN, struct.pack("<QH", 0, 1) + struct.pack("<I", 1) + peer.string("sessions"))
    p.send(peer.SNAP_END, struct.pack("<Q", 0))
    p.send(peer.ACK, struct.pack("<QB", last, 1))
    ack = p.expect(peer.ACK)
    r.add("ack", peer.ACK, ack)
    p.queue()
    queue = p.theirs
    r.add("queue", peer.QUEUE, queue[:8] + b"\1" + b"\0" * 7 + queue[16:])
    p.operations = 0
    support.wait_for(lambda: metric(node, "cluster_nodes_joined") == 1, "the peer to be in sync")

    # Operations
    enable(bob)
    alice = cluster.login(0, "u2", resource="tablet")
    op = one_operation(p, b"u2@localhosttablet", peer.PUT)
    value = op[-24:]
    r.add("put", peer.OPS, struct.pack("<QI", 0, 1) + op[:6] + b"\0\0" + op[8:-24], ("session", value[:8]),
          ("since", value[8:16]), value[16:])
    alice.close()
    op = one_operation(p, b"u2@localhosttablet", peer.REMOVE)
    r.add("remove", peer.OPS, struct.pack("<QI", 0, 1) + op[:6] + b"\0\0" + op[8:])
    p.operate(peer.operation(peer.TABLE, 0, b"sessions", b"", struct.pack("<I", 1)),
              peer.operation(peer.PUT, 0, b"u7@localhost", b"far",
                             struct.pack("<QQHb5x", 0x0000000100000000, 1700000000000, 1, 5)))
    support.wait_for(lambda: metric(node, "cluster_records") == 2, "our record")

    # A stanza for a session of ours, and the safety of one within the node
    bob.message("u7@localhost/far", "hello")
    request = payload_with(p, peer.REQUEST, b"<body>hello</body>")
    r.add("stanza", peer.REQUEST, b"\0" * 8 + request[8:])
    p.answer(request)
    received = p.expect(peer.RECEIVED)
    r.add("received", peer.RECEIVED, received)
    bob.message(bob.jid, "to myself")
    request = payload_with(p, peer.REQUEST, b"<body>to myself</body>")
    kept = request[13:21]
    r.add("keep", peer.REQUEST, b"\0" * 8 + request[8:13] + b"\0" * 8, ("account", request[21:29]), request[29:])
    p.answer(request)
    bob.until("to myself.*?</message>")
    bob.send("<a xmlns='urn:xmpp:sm:3' h='1'/>")
    request = payload_with(p, peer.REQUEST, kept)
    r.add("release", peer.REQUEST, b"\0" * 8 + request[8:13] + b"\0" * 8)

    # A session that comes to us
    token = bytes.fromhex(bob.sm)[8:]
    reset(bob)
    item = p.request("sm", b"\x01" + session + token + b"u1@localhost")
    adopt = payload_with(p, peer.REQUEST, b"u1@localhost/phone")
    name = bytes.fromhex(bob.sm)[:8][::-1]
    at = adopt.index(b"u1@localhost/phone") + 18
    assert adopt[at:].startswith(b"<state xmlns='urn:meerkat:session:0'")
    head = adopt[8:at]
    assert head[21:29] == name and head[29:45] == token
    r.add("adopt", peer.REQUEST, b"\0" * 8 + head[:21], ("name", name), ("token", token), head[45:])
    p.answer(adopt, b"\x01" + struct.pack("<Q", 0x55))
    last_piece = payload_with(p, peer.REQUEST, struct.pack("<BQB", 3, 0x55, 1))
    r.add("sm_queue", peer.REQUEST, b"\0" * 8 + last_piece[8:])
    p.answer(last_piece, b"\x01" + struct.pack("<Q", 0x55))
    answer = p.answered(item)
    r.add("taken", peer.ANSWER, b"\0" * 16 + answer)

    # Signs of life, the end
    r.add("ping", peer.PING, p.expect(peer.PING))
    node.process.terminate()
    r.add("leave", peer.LEAVE, p.expect(peer.LEAVE))
    assert node.process.wait(20) == 0
    r.compare()


@pytest.mark.parametrize("release", RELEASES)
def test_a_node_reads_what_an_earlier_release_writes(cluster, release):
    node = cluster.add()
    said = load(release)
    alice = cluster.login(0, "u2", resource="tablet")
    cluster.wait_sessions(1)

    # Greeting, a snapshot with a session
    p = Peer(node, greet=False)
    hello = p.expect(peer.HELLO)
    theirs = hello[10:18]
    incarnation, start = struct.pack("<Q", 0x1234567), struct.pack("<Q", 1700000000000)
    greeting = fill(said["hello"], incarnation=incarnation, start=start)
    # Another name and number than the node has, and what it shows of itself behind.
    greeting = greeting[:13] + struct.pack("<H", 2) + greeting[15:-2] + b"n1" + peer.string("version=0.1.0;")
    p.raw(struct.pack("<I", len(greeting) - 4) + greeting[4:])
    p.expect(peer.STATE)
    p.raw(fill(said["state"], ours=theirs))
    last = struct.pack("<Q", 3)
    session, since = struct.pack("<Q", 0x0000000200000001), struct.pack("<Q", 1700000000000)
    p.raw(fill(said["snap_begin"], last=last))
    p.raw(fill(said["snap"], number=struct.pack("<Q", 2), session=session, since=since))
    p.raw(fill(said["snap_end"], last=last))
    p.expect(peer.SNAP_BEGIN)
    end = struct.unpack_from("<Q", p.expect(peer.SNAP_END))[0]
    p.send(peer.ACK, struct.pack("<QB", max(end, p.acked), 1))
    support.wait_for(lambda: metric(node, "cluster_nodes_joined") == 1, "the peer to be in sync")
    support.wait_for(lambda: metric(node, "cluster_records") == 2, "its session")
    p.raw(fill(said["queue"]))
    p.raw(fill(said["ping"]))

    # Operations: a session comes and goes
    put = fill(said["put"], session=session, since=struct.pack("<Q", 1800000000000))
    p.raw(put[:5] + struct.pack("<Q", 4) + put[13:])
    alice.closed("conflict")        # it has the resource of ours, bound later
    remove = fill(said["remove"])
    p.raw(remove[:5] + struct.pack("<Q", 5) + remove[13:])
    support.wait_for(lambda: metric(node, "cluster_records") == 1, "one session less")

    # A stanza for a session here
    far = cluster.login(0, "u7", resource="far")
    value = payload_with(p, peer.OPS, b"u7@localhostfar")
    there = value[value.index(b"u7@localhostfar") + 15:][:8]
    stanza = fill(said["stanza"])
    p.raw(stanza[:5] + struct.pack("<Q", 1) + stanza[13:17] + there + stanza[25:])
    assert "<body>hello</body>" in far.stanza("^<message")
    assert p.answered(1) == b""

    # What it has us keep, and lets go
    keep = fill(said["keep"], account=b"12345678")
    p.raw(keep[:5] + struct.pack("<Q", 2) + keep[13:])
    assert p.answered(2) == b""
    assert metric(node, "router_kept") == 1
    release_ = fill(said["release"])
    p.raw(release_[:5] + struct.pack("<Q", 3) + release_[13:])
    support.wait_for(lambda: metric(node, "router_kept") == 0, "what was kept to go")

    # A session that it hands over
    token, name = bytes(range(16)), session
    adopt = fill(said["adopt"], token=token, name=name) + b"<state xmlns='urn:meerkat:session:0'/>"
    p.raw(struct.pack("<I", len(adopt) - 4) + adopt[4:5] + struct.pack("<Q", 4) + adopt[13:])
    answer = p.answered(4)
    assert answer[0] == 1
    queue = fill(said["sm_queue"])
    stanza = b"<message from='u2@localhost/tablet' to='u1@localhost/phone' type='chat'><body>missed</body></message>"
    body = queue[13:18] + answer[1:9] + b"\x01" + struct.pack("<II", 3, len(stanza)) + stanza
    p.send(peer.REQUEST, struct.pack("<Q", 5) + body)
    assert p.answered(5)[0] == 1
    again, text = resume(node, "u1", (name[::-1] + token).hex(), 1)
    assert "<resumed" in text
    assert bodies(text + again.until("</message>")) == ["missed"]
    again.drop()

    p.raw(fill(said["leave"]))
    p.ended()
    node.wait_log("node 'n1' left")
    p.drop()
