# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""HTTP for tests: raw bytes over a socket, answers taken apart without a library that could hide what came."""
import re
import socket
import time

import support


class Answer:
    def __init__(self, head, body):
        line, *lines = head.split("\r\n")
        self.version, status, self.reason = line.split(" ", 2)
        self.status = int(status)
        self.headers = {}
        for line in lines:
            name, value = line.split(": ", 1)
            self.headers.setdefault(name.lower(), []).append(value)
        self.body = body

    def header(self, name):
        return ", ".join(self.headers.get(name.lower(), [])) or None


class Raw:
    """A connection. `where`: a port of loopback, or the path of a Unix socket."""

    def __init__(self, where, tls=None, source=None):
        if isinstance(where, int):
            self.socket = socket.create_connection(("127.0.0.1", where), timeout=support.PATIENCE,
                                                   source_address=(source, 0) if source else None)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(support.PATIENCE)
            self.socket.connect(str(where))
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def receive(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return data

    def take_some(self, count):
        """Reads a little, and leaves the rest to the server."""
        data = self.socket.recv(count)
        assert data, "closed"
        self.buffer += data

    def _until(self, condition):
        while not condition():
            assert self.receive(), f"closed after {bytes(self.buffer[-1000:])!r}"

    def take(self, count):
        self._until(lambda: len(self.buffer) >= count)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def line(self):
        self._until(lambda: b"\r\n" in self.buffer)
        line = self.take(self.buffer.index(b"\r\n"))
        del self.buffer[:2]
        return line

    def head(self):
        self._until(lambda: b"\r\n\r\n" in self.buffer)
        head = self.take(self.buffer.index(b"\r\n\r\n"))
        del self.buffer[:4]
        return Answer(head.decode(), b"")

    def chunk(self):
        data = self.take(int(self.line(), 16))
        assert self.take(2) == b"\r\n"
        return data

    def chunks(self):
        return b"".join(iter(self.chunk, b""))

    def answer(self, head=False):
        """The next answer; `head`: to a HEAD, which has no body."""
        answer = self.head()
        if head or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.header("transfer-encoding") == "chunked":
            answer.body = self.chunks()
        elif answer.header("content-length"):
            answer.body = self.take(int(answer.header("content-length")))
        else:
            answer.body = self.rest()
        return answer

    def rest(self):
        """Everything to the end of the connection."""
        while self.receive():
            pass
        return self.take(len(self.buffer))

    def closed(self):
        """Nothing comes any more, and the connection ends."""
        end = time.monotonic() + support.PATIENCE
        try:
            assert self.rest() == b""
        except ConnectionResetError:
            pass
        assert time.monotonic() < end

    def get(self, path, *headers, method="GET", body=None):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        return self.answer(head=method == "HEAD")


def ask(where, path, *headers, tls=None, **more):
    """One request on a connection of its own."""
    with Raw(where, tls) as raw:
        return raw.get(path, *headers, **more)


def fields(answer):
    """What the route /echo of t_http.c tells."""
    return dict(re.findall(r"^(\w+)=(.*)$", answer.body.decode(), re.M))
