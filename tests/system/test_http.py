# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The HTTP server as clients and modules see it: requests good and bad, limits, slow clients, answers late and in pieces,
modules that go while they are asked."""
import concurrent.futures
import gzip
import http.client
import json
import re
import socket
import ssl
import threading
import time

import pytest

from extra import compile_module, module_folder
from support import Node, wait_for
from web import Raw, ask, fields

CONFIG = """
[meerkat]
module_path = {modules}
control = {dir}/control.sock
[tls]
self_signed = yes
[http]
listen = 127.0.0.1:0
listen_tls = 127.0.0.1:0
max_header = 4096
max_body = 10000
cors = https://good.example
"""
ECHO = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Site:
    """A node with the routes of t_http.c."""

    def __init__(self, folder, more="", drop=None, **defines):
        self.modules = module_folder(folder)
        self.unix = folder / "inner.sock"
        self.node = Node(folder / "node", (CONFIG.replace(drop, "") if drop else CONFIG) + more + "[t_http]\n", kind="none",
                         args=["--set", f"meerkat.module_path={self.modules}"])
        self.compile(**defines)
        self.node.start()
        self.port = self.node.port("http")
        self.tls_port = self.node.port("http with TLS")

    def compile(self, **defines):
        compile_module(self.modules, "t_http", "t_http", T_UNIX=str(self.unix), **defines)

    def metric(self, name, labels=""):
        match = re.search(rf"^{name}{re.escape('{' + labels + '}') if labels else ''} (\S+)$", self.node.control("metrics"), re.M)
        return float(match.group(1)) if match else None

    def connections(self):
        return self.metric("http_open_connections", 'place="public"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("http"))
    yield site
    site.node.stop()


@pytest.fixture
def make_site(tmp_path):
    made = []

    def make(more="", **others):
        site = Site(tmp_path / str(len(made)), more, **others)
        made.append(site)
        return site

    yield make
    for one in made:
        one.node.stop()


@pytest.fixture(scope="module")
def tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# -- routes


def test_a_route_gets_its_request_decoded(site):
    answer = ask(site.port, "/echo?q=a%20b%26+c&q=second&z", "X-Test: some text", method="POST", body=b"the body")
    assert answer.status == 200 and answer.header("content-type") == "text/plain"
    seen = fields(answer)
    assert (seen["method"], seen["path"], seen["q"], seen["x"], seen["peer"]) == ("2", "/echo", "a b& c", "some text", "127.0.0.1")
    assert answer.body.endswith(b"body=the body")


def test_parts_of_a_path_reach_the_route(site):
    assert fields(ask(site.port, "/user/j%C3%BCrg%2Fhome"))["name"] == "jürg/home"
    assert fields(ask(site.port, "/files/a/b%20c/"))["rest"] == "a/b c/"
    assert fields(ask(site.port, "/files/"))["rest"] == ""
    # %65 is "e": the same path.
    assert ask(site.port, "/%65cho").status == 200


def test_what_is_more_exact_goes_first(site):
    assert ask(site.port, "/user/me", method="DELETE").status == 204
    assert fields(ask(site.port, "/user/me"))["name"] == "me"


@pytest.mark.parametrize("path", ["/", "/none", "/echo/", "/echo/more", "/user", "/user/", "/user/a/b", "/files"])
def test_a_path_that_is_not_there_is_404(site, path):
    answer = ask(site.port, path)
    assert answer.status == 404 and json.loads(answer.body) == {"status": 404, "error": "Not Found"}


def test_a_method_that_a_path_does_not_have_is_405_with_those_it_has(site):
    answer = ask(site.port, "/late", method="POST", body=b"")
    assert answer.status == 405 and answer.header("allow") == "GET, HEAD, OPTIONS"
    answer = ask(site.port, "/user/me", method="PUT", body=b"")
    assert answer.status == 405 and answer.header("allow") == "GET, HEAD, DELETE, OPTIONS"


def test_options_tells_the_methods(site):
    answer = ask(site.port, "/echo", method="OPTIONS")
    assert answer.status == 204 and answer.header("allow") == "GET, HEAD, POST, PUT, OPTIONS"
    assert ask(site.port, "*", method="OPTIONS").status == 204


def test_head_is_get_without_the_body(site):
    with Raw(site.port) as raw:
        whole = raw.get("/big?bytes=500")
        head = raw.get("/big?bytes=500", method="HEAD")
        assert head.status == 200 and head.header("content-length") == whole.header("content-length") == "500"
        assert raw.get("/none", method="HEAD").status == 404
        assert raw.get("/echo").status == 200


def test_a_route_twice_is_refused_with_who_has_it(tmp_path):
    modules = module_folder(tmp_path)
    compile_module(modules, "t_http", "t_http", T_TWICE=1)
    node = Node(tmp_path / "node", CONFIG + "[t_http]\n", kind="none", args=["--set", f"meerkat.module_path={modules}"])
    node.start(wait=False)
    assert node.process.wait(30) != 0
    assert re.search(r"route '/user/\{other\}' is there already: module 't_http' has it", node.log()), node.log()


# -- connections


def test_a_connection_serves_many_requests(site):
    before = site.metric("http_connections_total", 'place="public"')
    with Raw(site.port) as raw:
        for i in range(50):
            assert fields(raw.get(f"/echo?q={i}"))["q"] == str(i)
    assert site.metric("http_connections_total", 'place="public"') == before + 1


def test_requests_in_one_packet_are_answered_in_order(site):
    with Raw(site.port) as raw:
        requests = [b"GET /echo?q=%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(20)]
        requests.insert(3, b"POST /echo?q=body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        requests.insert(5, b"GET /late?ms=20&q=late HTTP/1.1\r\nHost: a\r\n\r\n")
        requests.insert(7, b"POST /echo?q=chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        raw.send(b"".join(requests))
        answers = [raw.answer() for _ in requests]
    assert answers.pop(7).body.endswith(b"body=abc")
    assert answers.pop(5).body == b"late"
    assert answers.pop(3).body.endswith(b"body=hello")
    assert [fields(a)["q"] for a in answers] == [str(i) for i in range(20)]


def test_a_request_may_come_byte_by_byte(site):
    request = b"\r\nPOST /echo?q=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: t\r\n\r\n"
    with Raw(site.port) as raw:
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(request)):
            raw.send(request[i:i + 1])
        assert raw.answer().body.endswith(b"body=hello")
        assert raw.get("/echo").status == 200


def test_connection_close_is_honoured(site):
    with Raw(site.port) as raw:
        answer = raw.get("/echo", "Connection: close")
        assert answer.status == 200 and answer.header("connection") == "close"
        raw.closed()


def test_http_1_0_closes_unless_asked_to_keep(site):
    with Raw(site.port) as raw:
        raw.send(b"GET /echo HTTP/1.0\r\n\r\n")
        assert raw.answer().status == 200
        raw.closed()
    with Raw(site.port) as raw:
        for _ in range(2):
            raw.send(b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = raw.answer()
            assert answer.status == 200 and answer.header("connection") == "keep-alive"


def test_http_1_0_gets_a_stream_without_chunks(site):
    with Raw(site.port) as raw:
        raw.send(b"GET /stream?count=3&bytes=4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = raw.answer()
        assert answer.header("transfer-encoding") is None and answer.body == b"xxx\n" * 3


def test_the_whole_address_of_a_request_may_be_named(site):
    with Raw(site.port) as raw:
        raw.send(b"GET http://other.example/echo?q=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert fields(raw.answer())["q"] == "1"
        assert raw.get("/echo").status == 200


def test_a_client_that_expects_is_told_to_continue(site):
    with Raw(site.port) as raw:
        for _ in range(3):
            raw.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            assert raw.answer().status == 100
            raw.send(b"hello")
            assert raw.answer().body.endswith(b"body=hello")
        raw.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\nExpect: 100-continue\r\n\r\n")
        assert raw.answer().status == 413


def test_a_client_that_closes_its_half_gets_the_answer(site):
    with Raw(site.port) as raw:
        raw.send(ECHO)
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.answer().status == 200


def test_a_large_answer_comes_whole(site):
    for more in ([], ["Connection: close"]):
        assert ask(site.port, "/big?bytes=5000000&type=image/png", *more).body == b"b" * 5000000


def test_python_s_client_is_content(site, tls):
    for connection in (http.client.HTTPConnection("127.0.0.1", site.port),
                       http.client.HTTPSConnection("127.0.0.1", site.tls_port, context=tls)):
        for body in (None, b"x" * 9000, iter([b"some", b"pieces"])):
            connection.request("POST" if body else "GET", "/echo", body)
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read()
        connection.close()


# -- bad requests


GOOD = "GET /echo HTTP/1.1\r\nHost: a\r\n"
BAD = {
    "no version": ("GET /echo\r\n\r\n", 400),
    "nothing but a line": ("\x16\x03\x01\x02\r\n\r\n", 400),
    "two spaces": ("GET  /echo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space in the path": ("GET /echo x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a tab for a space": ("GET\t/echo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a fragment": ("GET /echo#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no slash": ("GET echo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method in braces": ("{G} /echo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an unknown method": ("BREW /echo HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "connect": ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "trace": ("TRACE /echo HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "patch": ("PATCH /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 501),
    "HTTP/2": ("GET /echo HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "the preface of HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": ("GET /echo HTTP/0.9\r\n\r\n", 505),
    "no number": ("GET /echo HTTP/x\r\nHost: a\r\n\r\n", 400),
    "no host": ("GET /echo HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GOOD + "Host: b\r\n\r\n", 400),
    "a host with a path": ("GET /echo HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "up": ("GET /files/../echo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "up, encoded": ("GET /files/%2e%2E/echo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a NUL in the path": ("GET /files/%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a NUL in the query": ("GET /echo?q=%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a raw NUL": ("GET /echo\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "half an escape": ("GET /files/%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no escape": ("GET /files/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "too many parameters": ("GET /echo?" + "&".join("a=1" for _ in range(200)) + " HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a NUL in a header": (GOOD + "X: a\0b\r\n\r\n", 400),
    "a carriage return in a header": (GOOD + "X: a\rb\r\n\r\n", 400),
    "a header without a name": (GOOD + ": a\r\n\r\n", 400),
    "a header without a colon": (GOOD + "X\r\n\r\n", 400),
    "a space before the colon": (GOOD + "X : a\r\n\r\n", 400),
    "a folded header": (GOOD + "X: a\r\n b\r\n\r\n", 400),
    "too many headers": (GOOD + "".join(f"X{i}: a\r\n" for i in range(200)) + "\r\n", 431),
    "two lengths": ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", 400),
    "a length and chunks": ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a length with a sign": ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab", 400),
    "a list of lengths": ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nab", 400),
    "an empty length": ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nab", 400),
    "a length beyond numbers": ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
    "no length": ("POST /echo HTTP/1.1\r\nHost: a\r\n\r\n", 411),
    "gzip on the way": ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunks twice": ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "chunks in HTTP/1.0": ("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a head with a body": ("HEAD /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
    "another expectation": (GOOD + "Expect: nothing\r\n\r\n", 417),
}
CHUNKS = {
    "no size": ("\r\n\r\n", 400), "no number": ("x\r\n", 400), "a sign": ("+5\r\nhello\r\n0\r\n\r\n", 400),
    "a prefix": ("0x5\r\nhello\r\n0\r\n\r\n", 400), "a space before": (" 5\r\nhello\r\n0\r\n\r\n", 400),
    "a line feed alone": ("5\nhello\r\n0\r\n\r\n", 400), "too short": ("3\r\nhello\r\n0\r\n\r\n", 400),
    "too long": ("4000\r\n", 413), "beyond numbers": ("fffffffffffffffff\r\n", 413),
    "too long together": ("1770\r\n" + "x" * 6000 + "\r\n1770\r\n", 413),
    "an endless extension": ("1;" + "x" * 5000, 413), "endless trailers": ("0\r\n" + "X: y\r\n" * 2000, 413),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_with_the_right_status(site, name):
    text, status = BAD[name]
    with Raw(site.port) as raw:
        answer = raw.send(text.encode("latin-1")).answer(head=text.startswith("HEAD"))
        assert (answer.status, answer.version) == (status, "HTTP/1.1")
        # Where the next request begins nobody knows; a path that is no good is another matter.
        if answer.header("connection") == "close":
            raw.closed()
        else:
            assert status == 400 and "HTTP/1.1\r\nHost" in text and raw.get("/echo").status == 200


@pytest.mark.parametrize("name", CHUNKS)
def test_bad_chunks_are_refused(site, name):
    text, status = CHUNKS[name]
    with Raw(site.port) as raw:
        raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + text)
        assert raw.answer().status == status
        raw.closed()


def test_headers_of_trailers_are_not_headers(site):
    with Raw(site.port) as raw:
        raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Test: smuggled\r\n\r\n")
        assert "x" not in fields(raw.answer())


def test_a_refused_request_takes_those_behind_it_along(site):
    with Raw(site.port) as raw:
        raw.send(BAD["two lengths"][0].encode() + ECHO * 3)
        assert raw.answer().status == 400
        raw.closed()


def test_an_answer_cannot_be_split_by_a_header(site):
    answer = ask(site.port, "/echo?header=a%0D%0ASet-Cookie:%20x")
    assert answer.status == 200 and answer.header("set-cookie") is None and answer.header("x-answer") is None
    site.node.wait_log("an answer to '/echo' has a header that may not be sent")
    assert ask(site.port, "/echo?header=fine").header("x-answer") == "fine"


# -- limits


def test_headers_up_to_the_limit_are_taken(site):
    start = "GET /echo HTTP/1.1\r\nHost: a\r\nX: "
    for more, status in ((0, 200), (1, 431), (100000, 431)):
        with Raw(site.port) as raw:
            raw.send(start + "x" * (4096 - len(start) - 4 + more) + "\r\n\r\n")
            assert raw.answer().status == status


def test_a_line_up_to_the_limit_is_taken(site):
    for more, status in ((0, 200), (100, 414), (100000, 414)):
        start, end = "GET /files/", " HTTP/1.1\r\nHost: a\r\n\r\n"
        # Paths have segments of 511 bytes at most.
        path = "/".join("x" * 500 for _ in range(300))[:4096 - len(start) - len(end) + more]
        with Raw(site.port) as raw:
            raw.send(start + path + end)
            assert raw.answer().status == status


def test_bodies_up_to_the_limit_are_taken(site):
    # What is sent behind the answer is read and dropped up to 4 MB, so that the client gets to see it.
    for size, status in ((10000, 200), (10001, 413), (3000000, 413)):
        assert ask(site.port, "/echo", method="POST", body=b"x" * size).status == status
    with Raw(site.port) as raw:
        raw.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10000 + b"0\r\n\r\n")
        assert raw.answer().body.endswith(b"body=" + b"x" * 10000)


def test_who_goes_on_sending_a_body_that_is_refused_is_hung_up_on(site):
    with Raw(site.port) as raw:
        raw.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        assert raw.answer().status == 413
        with pytest.raises(OSError):
            for _ in range(1000):
                raw.send(b"x" * 1000000)
    assert ask(site.port, "/echo").status == 200


def test_a_place_has_a_limit_of_its_own(site):
    assert ask(site.unix, "/echo", method="POST", body=b"x" * 2000).status == 200
    assert ask(site.unix, "/echo", method="POST", body=b"x" * 2001).status == 413


def test_connections_beyond_the_limit_get_503(make_site):
    site = make_site("max_connections = 3\n")
    with Raw(site.port) as first:
        assert first.get("/echo").status == 200
        idle = []
        # Each of two workers has its own limit.
        while len(idle) < 6:
            raw = Raw(site.port)
            try:
                answer = raw.get("/echo")
            except (AssertionError, ConnectionError):
                answer = None
            if answer is None or answer.status == 503:
                assert answer is None or answer.header("retry-after")
                break
            idle.append(raw)
        assert 3 <= len(idle) + 1 <= 6
        # One that goes makes room.
        for raw in idle:
            raw.socket.close()
        wait_for(lambda: site.connections() == 1, "the connections to go")
        assert ask(site.port, "/echo").status == 200
    wait_for(lambda: site.metric("http_refused_total", 'place="public",reason="connections"') >= 1)


def test_connections_from_one_address_beyond_the_limit_get_503(make_site):
    site = make_site("max_connections_address = 3\n")
    held = [Raw(site.port, source="127.0.0.7") for _ in range(3)]
    assert all(raw.get("/echo").status == 200 for raw in held)
    with Raw(site.port, source="127.0.0.7") as raw:
        assert raw.answer().status == 503
        raw.closed()
    with Raw(site.port, source="127.0.0.8") as raw:
        assert fields(raw.get("/echo"))["peer"] == "127.0.0.8"
    # Whom the configuration trusts is not counted.
    trusted = [Raw(site.port) for _ in range(6)]
    assert all(raw.get("/echo").status == 200 for raw in trusted)
    held.pop().socket.close()
    wait_for(lambda: ask(site.port, "/echo").status == 200 and site.connections() <= 9)
    with Raw(site.port, source="127.0.0.7") as raw:
        assert raw.get("/echo").status == 200
    for raw in held + trusted:
        raw.socket.close()


def test_bodies_beyond_what_a_worker_holds_get_503(make_site):
    site = make_site("max_buffered = 64K\n")
    waiting = []
    statuses = set()
    for _ in range(40):
        raw = Raw(site.port)
        raw.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + b"x" * 8000)
        waiting.append(raw)
    for raw in waiting:
        try:
            raw.send(b"x" * 1000)
            statuses.add(raw.answer().status)
        except (AssertionError, ConnectionError):
            pass
        raw.socket.close()
    assert statuses == {200, 503}
    assert site.metric("http_refused_total", 'place="public",reason="memory"') > 0
    assert ask(site.port, "/echo", method="POST", body=b"x" * 9000).status == 200


def test_a_slow_request_is_cut_whatever_it_sends(make_site):
    site = make_site("request_timeout = 1s\n")
    slow = Raw(site.port)
    body = Raw(site.port).send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n")
    chunks = Raw(site.port).send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    second = Raw(site.port)
    assert second.get("/echo").status == 200

    def trickle(raw, text):
        try:
            for byte in text * 1000:
                raw.socket.send(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            pass

    pairs = [(slow, b"GET /x"), (body, b"x"), (chunks, b"1\r\nx\r\n"), (second, b"GET /")]
    threads = [threading.Thread(target=trickle, args=pair, daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    for raw, _ in pairs:
        answer = raw.answer()
        assert answer.status == 408 and answer.header("connection") == "close"
        raw.closed()
    for raw, _ in pairs:
        raw.socket.close()
    for thread in threads:
        thread.join()
    assert site.metric("http_timeouts_total", 'place="public"') == 4


def test_an_idle_connection_is_closed_without_a_word(make_site):
    site = make_site("idle_timeout = 300ms\n")
    with Raw(site.port) as new, Raw(site.port) as used:
        assert used.get("/echo").status == 200
        new.closed()
        used.closed()
    wait_for(lambda: site.connections() == 0)


def test_a_client_that_does_not_read_its_answer_is_cut(make_site):
    site = make_site("write_timeout = 500ms\n")
    with Raw(site.port) as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.send(b"GET /big?bytes=20000000&type=image/png HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: site.metric("http_timeouts_total", 'place="public"') == 1, "the connection to be cut")
        wait_for(lambda: site.connections() == 0)


def test_a_client_that_reads_slowly_gets_its_answer(make_site):
    site = make_site("write_timeout = 1s\n")
    with Raw(site.port) as raw:
        raw.send(b"GET /big?bytes=20000000&type=image/png HTTP/1.1\r\nHost: a\r\n\r\n")
        begin = time.monotonic()
        # So slowly that it takes more than the time in which something must move, and that the kernel is full.
        while time.monotonic() - begin < 2.5:
            raw.take_some(40000)
            time.sleep(0.02)
        assert len(raw.answer().body) == 20000000


def test_limits_are_reloaded(make_site):
    site = make_site()
    with Raw(site.port) as raw:
        assert raw.get("/echo", method="POST", body=b"x" * 9000).status == 200
        text = site.node.ini.read_text().replace("max_body = 10000", "max_body = 5000")
        site.node.ini.write_text(text)
        site.node.reload()
        wait_for(lambda: ask(site.port, "/echo", method="POST", body=b"x" * 9000).status == 413)
        assert raw.get("/echo", method="POST", body=b"x" * 9000).status == 413


def test_a_flood_stays_within_bounds_and_others_are_served(make_site):
    site = make_site("max_connections = 50\nrequest_timeout = 2s\nmax_buffered = 1M\n")
    stop = time.monotonic() + 3
    garbage = [b"\0" * 5000, b"GET / HTTP/1.1\r\nX: " + b"y" * 100000, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nx",
               ECHO * 200, b"GET /none HTTP/1.1\r\n\r\n"]

    def flood(n):
        while time.monotonic() < stop:
            try:
                with socket.create_connection(("127.0.0.1", site.port), timeout=2) as s:
                    s.sendall(garbage[n % len(garbage)])
                    if n % 2:
                        s.recv(1000)
            except OSError:
                pass

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        work = [pool.submit(flood, n) for n in range(20)]
        while time.monotonic() < stop:
            assert ask(site.unix, "/echo").status == 200
        for one in work:
            one.result()
    wait_for(lambda: site.connections() == 0, "the flood to end")
    assert ask(site.port, "/echo").status == 200


# -- answers


def test_an_answer_may_come_later(site):
    with Raw(site.port) as raw:
        assert raw.get("/late?ms=50").body == b"late"
        assert raw.get("/echo").status == 200


def test_a_stream_comes_in_pieces(site):
    with Raw(site.port) as raw:
        raw.send(b"GET /stream?count=4&bytes=5 HTTP/1.1\r\nHost: a\r\n\r\n")
        head = raw.head()
        assert head.header("transfer-encoding") == "chunked" and head.header("content-type") == "text/event-stream"
        assert [raw.chunk() for _ in range(5)] == [b"xxxx\n"] * 4 + [b""]
        assert raw.get("/echo").status == 200


def test_a_handler_hears_when_the_client_goes(site):
    gone = site.metric("t_http_gone_total")
    with Raw(site.port) as raw:
        raw.send(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: site.connections() >= 1)
    raw = Raw(site.port).send(b"GET /stream?count=100000 HTTP/1.1\r\nHost: a\r\n\r\n")
    raw.head()
    raw.socket.close()
    wait_for(lambda: site.metric("t_http_gone_total") == gone + 2, "both to be told")
    assert site.metric("http_requests_abandoned_total", 'place="public"') >= 2


def test_a_stream_whose_client_does_not_read_is_ended(make_site):
    site = make_site("max_queue = 100K\n")
    with Raw(site.port) as raw:
        raw.send(b"GET /stream?count=100000&bytes=500000 HTTP/1.1\r\nHost: a\r\n\r\n")
        # Its handler is told by mk_http_write, and ends it: what waits is written while the client reads.
        assert len(raw.head().body) == 0
        wait_for(lambda: site.metric("t_http_full_total") == 1, "the stream to be full")
        assert len(raw.chunks()) <= site.metric("http_sent_bytes_total", 'place="public"')
        assert raw.get("/echo").status == 200


def test_a_late_answer_to_nobody_hurts_nobody(site):
    for ms in (0, 1, 5, 10, 20):
        with Raw(site.port) as raw:
            raw.send(b"GET /late?ms=%d HTTP/1.1\r\nHost: a\r\n\r\n" % ms)
    assert ask(site.port, "/echo").status == 200


def test_texts_are_compressed_where_the_client_takes_it(site):
    for size in (1024, 100000, 3000000):
        answer = ask(site.port, f"/big?bytes={size}", "Accept-Encoding: br, gzip;q=0.5")
        assert answer.header("content-encoding") == "gzip" and answer.header("vary").startswith("Accept-Encoding")
        assert gzip.decompress(answer.body) == b"b" * size
    for path, accept in (("/big?bytes=1023", "gzip"), ("/big?bytes=5000&type=image/png", "gzip"), ("/big?bytes=5000", "gzip;q=0"),
                         ("/big?bytes=5000", "br"), ("/big?bytes=5000", "x-gzip")):
        assert ask(site.port, path, f"Accept-Encoding: {accept}").header("content-encoding") is None


def test_only_pages_of_the_origins_named_may_ask(site):
    good, bad = "Origin: https://good.example", "Origin: https://good.example.evil"
    assert ask(site.port, "/echo", good).header("access-control-allow-origin") == "https://good.example"
    assert ask(site.port, "/none", good).header("access-control-allow-origin") == "https://good.example"
    assert ask(site.port, "/echo", bad).header("access-control-allow-origin") is None
    asked = ask(site.port, "/echo", good, "Access-Control-Request-Method: POST", method="OPTIONS")
    assert asked.status == 204 and asked.header("access-control-allow-origin") == "https://good.example"
    assert "POST" in asked.header("access-control-allow-methods") and "Authorization" in asked.header("access-control-allow-headers")
    assert ask(site.port, "/echo", bad, "Access-Control-Request-Method: POST", method="OPTIONS").header(
        "access-control-allow-origin") is None


def test_files_are_served_once(site):
    answer = ask(site.port, "/page/")
    assert answer.status == 200 and answer.header("content-security-policy") == "default-src 'self'"
    assert answer.header("content-type") == "text/html; charset=utf-8" and answer.body.startswith(b"<!DOCTYPE html>")
    again = ask(site.port, "/page/", f"If-None-Match: {answer.header('etag')}")
    assert again.status == 304 and again.body == b"" and again.header("etag") == answer.header("etag")
    packed = ask(site.port, "/page/", "Accept-Encoding: gzip")
    assert packed.header("content-encoding") == "gzip" and gzip.decompress(packed.body) == answer.body
    assert ask(site.port, "/page/", method="HEAD").header("content-length") == str(len(answer.body))


def test_the_server_does_not_name_itself_unless_told(site, make_site):
    assert ask(site.port, "/echo").header("server") is None
    assert ask(make_site("server_header = yes\n").port, "/echo").header("server") == "Meerkat"


def test_the_access_log_has_no_queries(make_site):
    site = make_site("access_log = yes\n")
    ask(site.port, "/echo?password=verysecret", method="POST", body=b"1234")
    ask(site.port, "/none")
    with Raw(site.port) as raw:
        raw.send("BAD\r\n\r\n").answer()
    site.node.wait_log(r"public 127.0.0.1 POST '/echo' 200 \d+ bytes \d+ us")
    site.node.wait_log(r"public 127.0.0.1 GET '/none' 404 ")
    site.node.wait_log(r"public 127.0.0.1 - '-' 400 ")
    assert "verysecret" not in site.node.log()


# -- TLS and Unix sockets


def test_tls_and_unix_are_secure_places(site, tls):
    seen = fields(ask(site.tls_port, "/echo", tls=tls))
    assert (seen["secure"], seen["peer"]) == ("1 unix=0", "127.0.0.1")
    seen = fields(ask(site.unix, "/echo"))
    assert (seen["secure"], seen["peer"]) == ("1 unix=1", "")
    # Loopback counts as secure, other addresses do not.
    assert fields(ask(site.port, "/echo"))["secure"].startswith("1")


def test_tls_serves_everything_that_plain_does(site, tls):
    with Raw(site.tls_port, tls) as raw:
        raw.send(ECHO * 3 + b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n" + b"x" * 10000)
        assert [raw.answer().status for _ in range(4)] == [200] * 4
        assert raw.get("/late?ms=20").body == b"late"
        assert raw.get("/big?bytes=3000000&type=image/png").body == b"b" * 3000000
        assert raw.get("/stream?count=3&bytes=5").body == b"xxxx\n" * 3
        raw.send(b"GET /echo HTTP/1.1\r\n\r\n")
        assert raw.answer().status == 400
        raw.closed()
    with Raw(site.tls_port, tls) as raw:
        assert raw.get("/big?bytes=1000000&type=image/png", "Connection: close").body == b"b" * 1000000
        raw.closed()


def test_browsers_are_told_to_come_with_tls_only_where_that_is_wanted(make_site, tls):
    header = "strict-transport-security"
    site = make_site("hsts = 1d\n")
    assert ask(site.tls_port, "/echo", tls=tls).header(header) == "max-age=86400"
    assert ask(site.port, "/echo").header(header) is None
    assert ask(make_site().tls_port, "/echo", tls=tls).header(header) is None


def test_both_families_are_served_and_told_apart(make_site):
    site = make_site("listen = *:0\n", drop="listen = 127.0.0.1:0\n")
    assert fields(ask(site.port, "/echo"))["peer"] == "127.0.0.1"
    with socket.socket(socket.AF_INET6) as s:
        try:
            s.connect(("::1", site.port))
        except OSError:
            pytest.skip("there is no IPv6 here")
        s.sendall(ECHO)
        assert b"peer=::1\nsecure=1" in s.recv(4096)


def test_what_is_no_tls_is_closed(site):
    with Raw(site.tls_port) as raw:
        raw.send(ECHO)
        try:
            assert b"HTTP" not in raw.rest()
        except ConnectionResetError:
            pass


def test_a_routes_place_is_its_own(site):
    assert ask(site.unix, "/late").status == 404
    assert site.metric("http_requests_total", 'place="inner",status="4xx"') >= 1


# -- modules come and go


def test_requests_under_way_are_answered_before_a_module_goes(make_site):
    site = make_site()
    with Raw(site.port) as late, Raw(site.port) as other:
        late.send(b"GET /late?ms=700 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert other.get("/echo").status == 200
        wait_for(lambda: site.connections() == 2)
        assert site.node.control("module", "unload", "t_http").endswith("ok\n")
        assert late.answer().body == b"late"
        assert other.get("/echo").status == 404
        assert site.node.control("module", "load", "t_http").endswith("ok\n")
        assert other.get("/echo").status == 200


def test_a_module_is_reloaded_under_load(make_site):
    site = make_site()
    stop = threading.Event()
    statuses = set()

    def ask_on():
        with Raw(site.port) as raw:
            while not stop.is_set():
                for path in ("/echo", "/late?ms=3", "/user/a", "/stream?count=2", "/page/"):
                    statuses.add(raw.get(path).status)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        work = [pool.submit(ask_on) for _ in range(6)]
        for _ in range(8):
            assert site.node.control("module", "reload", "t_http").endswith("ok\n")
        stop.set()
        for one in work:
            one.result()
    assert statuses <= {200, 404, 503} and 200 in statuses


def test_a_node_that_stops_answers_what_is_under_way(make_site):
    site = make_site()
    with Raw(site.port) as late, Raw(site.port) as idle:
        assert idle.get("/echo").status == 200
        late.send(b"GET /late?ms=600 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: site.connections() == 2)
        site.node.process.terminate()
        answer = late.answer()
        assert answer.body == b"late"
        late.closed()
        idle.closed()
        assert site.node.process.wait(30) == 0


def test_http_itself_can_be_reloaded(make_site):
    site = make_site()
    with Raw(site.port) as raw:
        assert raw.get("/echo").status == 200
        assert site.node.control("module", "unload", "t_http").endswith("ok\n")
        assert site.node.control("module", "reload", "http").endswith("ok\n"), site.node.log()
        raw.closed()
    assert site.node.control("module", "load", "t_http").endswith("ok\n")
    port = int(re.findall(r"listening for 'http' on 127.0.0.1:(\d+)", site.node.log())[-1])
    assert ask(port, "/echo").status == 200
