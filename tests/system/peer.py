# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""A node of a cluster as far as its links are concerned (docs/cluster-protocol.md), in the clear on loopback: to send a real node what
a node of ours would not send, or what one of another release sends."""
import os
import socket
import struct
import time

import support

HELLO, STATE, REFUSE, OPS, SNAP_BEGIN, SNAP, SNAP_END, ACK, PING, DIGEST, RESYNC, LEAVE, CLAIM, CLAIM_ANSWER = range(1, 15)
REQUEST, ANSWER, ANSWERS, RECEIVED, QUEUE = range(64, 69)
NAMES = {1: "HELLO", 2: "STATE", 3: "REFUSE", 4: "OPS", 5: "SNAP_BEGIN", 6: "SNAP", 7: "SNAP_END", 8: "ACK", 9: "PING",
         10: "DIGEST", 11: "RESYNC", 12: "LEAVE", 13: "CLAIM", 14: "CLAIM_ANSWER", 64: "REQUEST", 65: "ANSWER", 66: "ANSWERS",
         67: "RECEIVED", 68: "QUEUE"}
MAGIC = 0x54454B4D
PUT, REMOVE, TABLE = 1, 2, 3


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<H", len(data)) + data


def channel(name):
    """FNV-1a of 32 bits."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h


def frame(type_, payload=b""):
    return struct.pack("<IB", len(payload) + 1, type_) + payload


def operation(kind, table, group=b"", key=b"", value=b"", flags=0, time_=None):
    rest = (struct.pack("<Q", time_) if flags & 1 else b"") + group + key + value
    return struct.pack("<IBBHHH", 12 + len(rest), kind, flags, table, len(group), len(key)) + rest


class Ended(Exception):
    """The node closed the link."""


class Peer:
    """One link to `node`. While something is waited for, what comes is confirmed as a living node does."""

    def __init__(self, node, name="peer", number=900, cluster="meerkat", low=1, high=1, incarnation=None, start=None,
                 info=b"version=0.1.0;", greet=True):
        port = int(node.wait_log(r"listening for 'cluster' on [^ ]*:(\d+)").group(1))
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=support.PATIENCE)
        self.buffer = b""
        self.frames = []            # that came and nobody has taken
        self.incarnation = incarnation or int.from_bytes(os.urandom(8), "little") | 1
        self.number_of_queue = 1
        self.acked = 0              # the node's last operation
        self.theirs = None          # its QUEUE
        self.next_item = 1
        if greet:
            self.send(HELLO, struct.pack("<IHHHQQ", MAGIC, low, high, number, self.incarnation,
                                         start or int(time.time() * 1000)) + string(cluster) + string(name) + string(info))

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, type_, payload=b""):
        self.raw(frame(type_, payload))

    def read(self, patience=support.PATIENCE):
        self.socket.settimeout(patience)
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Ended
        self.buffer += data
        while len(self.buffer) >= 4:
            length = struct.unpack_from("<I", self.buffer)[0]
            if len(self.buffer) < 4 + length:
                break
            kind, payload = self.buffer[4], self.buffer[5:4 + length]
            self.buffer = self.buffer[4 + length:]
            self.frames.append((kind, payload))
            try:
                self.came(kind, payload)
            except OSError:
                pass

    def came(self, kind, payload):
        """What a living node says to that by itself."""
        if kind in (REQUEST, ANSWER, ANSWERS):
            self.send(RECEIVED, payload[:8])
        elif kind == OPS:
            first, count = struct.unpack_from("<QI", payload)
            self.acked = first + count - 1
            self.send(ACK, struct.pack("<QB", self.acked, 1))
        elif kind == PING:
            self.send(PING)
        elif kind == QUEUE:
            self.theirs = payload

    def expect(self, type_, patience=support.PATIENCE):
        """The next frame of this type; others before it are dropped."""
        end = time.monotonic() + patience
        while True:
            while self.frames:
                kind, payload = self.frames.pop(0)
                if kind == type_:
                    return payload
            left = end - time.monotonic()
            assert left > 0, f"no {NAMES[type_]} came"
            self.read(left)

    def ended(self, patience=support.PATIENCE):
        """Reads to the end of the link: the frames that came before it."""
        end = time.monotonic() + patience
        try:
            while True:
                assert time.monotonic() < end, f"the link stands, after {[NAMES.get(t, t) for t, _ in self.frames]}"
                self.read(max(0.01, end - time.monotonic()))
        except Ended:
            return self.frames

    def join(self, tables=(("sessions", 1),)):
        """Becomes a member in sync without any records."""
        payload = self.expect(HELLO)
        magic, low, high, self.number, self.node_incarnation, start = struct.unpack_from("<IHHHQQ", payload)
        assert magic == MAGIC and low <= 1 <= high
        self.expect(STATE)
        self.send(STATE, struct.pack("<QQB", self.node_incarnation, 0, 0))
        self.send(SNAP_BEGIN, struct.pack("<QH", 0, len(tables)) +
                  b"".join(struct.pack("<I", version) + string(name) for name, version in tables))
        self.send(SNAP_END, struct.pack("<Q", 0))
        # All of theirs, whether as operations or as a snapshot.
        self.expect(SNAP_BEGIN)
        snapshot = struct.unpack_from("<Q", self.expect(SNAP_END))[0]
        self.acked = max(self.acked, snapshot)
        self.send(ACK, struct.pack("<QB", self.acked, 1))
        self.queue()
        self.operations = 0
        return self

    def queue(self, received=0):
        if not self.theirs:
            self.expect(QUEUE)
        self.send(QUEUE, struct.pack("<QQQ", received, self.number_of_queue, struct.unpack_from("<Q", self.theirs, 8)[0]))

    def operate(self, *operations):
        self.send(OPS, struct.pack("<QI", self.operations + 1, len(operations)) + b"".join(operations))
        self.operations += len(operations)

    def request(self, name, data):
        """Sends a request; returns the number of its item."""
        item = self.next_item
        self.next_item += 1
        self.send(REQUEST, struct.pack("<QI", item, channel(name)) + data)
        return item

    def answer(self, request, data=b""):
        """Answers a REQUEST whose payload this is."""
        item, number = self.next_item, struct.unpack_from("<Q", request)[0]
        self.next_item += 1
        self.send(ANSWER if data else ANSWERS, struct.pack("<QQ", item, number) + data)

    def answered(self, item, patience=support.PATIENCE):
        """The answer to a request of ours; b"" when it is an empty one."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for i, (kind, payload) in enumerate(self.frames):
                if kind == ANSWER and struct.unpack_from("<Q", payload, 8)[0] == item:
                    del self.frames[i]
                    return payload[16:]
                if kind == ANSWERS and struct.pack("<Q", item) in [payload[n:n + 8] for n in range(8, len(payload), 8)]:
                    return b""
            self.read(max(0.01, end - time.monotonic()))
        raise AssertionError(f"request {item} is not answered")

    def drop(self):
        self.socket.close()
