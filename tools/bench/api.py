#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What the API costs: one node with all modules on SQLite, under the load of wrk (`./dev bench api`).

Beside it runs `bare_http`, evhttp with a route that answers a constant, and gets the same requests at the same time of day:
ratios say more than microseconds. CPU is the server's alone, of all its threads. Prices of passwords and keys are those of
PBKDF2 in OpenSSL, here and now. With --soak the table is left out: resident memory under load for so long, and it must stay.
usage: api.py BUILD [--quick] [--seconds N] [--workers N] [--soak SECONDS] [ROW...]"""
import argparse
import base64
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from prometheus_client.parser import text_string_to_metric_families as parse_metrics    # noqa: E402

ITERATIONS = 10000
CONFIG = """
[meerkat]
hosts = localhost, anon.localhost
workers = {workers}
state_dir = {dir}
module_path = {build}/.libs
[c2s]
listen = 127.0.0.1:0
# Who receives is a program in Python on the same processors: it may stall for seconds
max_queue = 8M
[tls]
self_signed = yes
[auth_anonymous]
[auth_anonymous@anon.localhost]
enabled = yes
[rdbms]
driver = sqlite
[auth_rdbms]
iterations = {iterations}
hashes = sha1, sha256, sha512
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
admin_listen = 127.0.0.1:0
admin_password = {admin}
remember = {remember}
""" + "".join(f"[{m}]\n" for m in (
    "metrics health admin domain register router sasl roster presence offline sm carbons csi disco ping version time last "
    "vcard private blocking").split())
ADMIN, PASSWORD = "administrators-secret", "benchsecret"
SEND = 'mutation { stanza { sendMessage(to: "bob@localhost", body: "Hi") { id } } }'
QUERY = "{ checkAuth { username authStatus } roster { listContacts { jid name groups subscription ask } } }"
COUNT = "{ session { countSessions } }"
LIST = "{ session { listSessions(limit: 10000) { user connection ip port priority node uptime } } }"
# As Prometheus asks.
SCRAPE = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
          "Accept-Encoding": "gzip"}
DONE = """
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('RESULT {"requests": %d, "median_us": %d, "status": %d, "errors": %d}\\n', summary.requests,
             latency:percentile(50), e.status, e.connect + e.read + e.write + e.timeout))
end
"""
NAMES = """
local n = 0
request = function()
    n = n + 1
    local name = "%s" .. n
    return wrk.format(nil, nil, nil, (string.gsub(wrk.body, "NAME", name)))
end
"""

# Slows wrk down: where it is not the cost that is measured.
TELL = """
local told = 0
response = function(status, headers, body)
    if status ~= 200 and told < 5 then
        told = told + 1
        io.write(status .. " " .. body .. "\\n")
    end
end
"""


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def lua(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Load:
    """A request for wrk: POST of a query, or GET of a path without one."""

    def __init__(self, path, query=None, headers=(), close=False, tell=False):
        self.path, self.query, self.tell = path, query, tell
        self.headers = dict(headers)
        if query:
            self.headers["Content-Type"] = "application/json"
        if close:
            self.headers["Connection"] = "close"

    def script(self, names):
        lines = [f"wrk.headers[{lua(k)}] = {lua(v)}" for k, v in self.headers.items()]
        if self.query:
            lines += ["wrk.method = 'POST'", f"wrk.body = {lua(json.dumps({'query': self.query}))}"]
        return "\n".join(lines) + (NAMES % names if names else "") + (TELL if self.tell else "") + DONE

    def run(self, server, port, seconds, connections, names="", before=()):
        """What wrk found, with `cpu_us`, the server's a request. `before`: words to start wrk by."""
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as f:
            f.write(self.script(names))
            f.flush()
            began = server.cpu()
            done = subprocess.run([*before, "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", f.name,
                                   f"http://127.0.0.1:{port}{self.path}"], stdout=subprocess.PIPE, text=True, check=True)
            used = server.cpu() - began
        found = json.loads(re.search(r"^RESULT (.*)$", done.stdout, re.M)[1])
        if found["status"] or found["errors"] or not found["requests"]:
            sys.exit(f"wrk on {self.path}: {done.stdout}")
        return {**found, "cpu_us": used / found["requests"] * 1e6, "cpu": used}


class Server:
    def cpu(self):
        """Seconds of CPU, of all its threads, exactly."""
        return sum(int((t / "schedstat").read_text().split()[0]) for t in
                   pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()) / 1e9

    def schedule(self, policy, priority):
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))
            except OSError:
                pass

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bare(Server):
    def __init__(self, build, body):
        self.process = subprocess.Popen([build / "bare_http", body], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        super().stop()
        self.process.stdout.close()


class Node(Server):
    def __init__(self, args, remember="10s"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="meerkat-bench-"))
        (self.folder / "ini").write_text(CONFIG.format(
            workers=args.workers, dir=self.folder, build=args.build, iterations=ITERATIONS, admin=ADMIN, remember=remember))
        self.log = self.folder / "log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([args.build / "meerkatd", "-f", "-c", self.folder / "ini"], stderr=log)
        self.wait("is ready")
        self.user, self.admin, self.plain = (self.port(n) for n in ("graphql_user", "graphql_admin", "http"))
        for name in ("alice", "bob"):
            self.ask(f'mutation {{ account {{ registerUser(domain: "localhost", username: "{name}", password: "{PASSWORD}") {{ jid }} }} }}')
        self.receiver = Receiver(self.port("c2s"))

    def wait(self, pattern):
        end = time.monotonic() + 60
        while not (found := re.search(pattern, self.log.read_text())):
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"no '{pattern}' from meerkatd:\n{self.log.read_text()}")
            time.sleep(0.002)
        return found

    def port(self, what):
        return int(self.wait(rf"listening for '{what}' on 127.0.0.1:(\d+)")[1])

    def ask(self, query):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=60)
        connection.request("POST", "/api/graphql", json.dumps({"query": query}),
                           {**basic("admin", ADMIN), "Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if "errors" in answer:
            sys.exit(f"{query}: {answer}")
        return answer["data"]

    def metrics(self):
        """(name, labels, value) of every sample."""
        connection = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return [(s.name.removeprefix("meerkat_"), s.labels, s.value) for f in parse_metrics(text) for s in f.samples]

    def metric(self, name):
        return sum(value for n, _, value in self.metrics() if n == name)

    def resident(self):
        return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024

    def stop(self):
        self.receiver.close()
        super().stop()
        shutil.rmtree(self.folder)


class Receiver:
    """bob, who is online and counts what comes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.count, self.rest = 0, b""
        head = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='localhost'>"
        secret = base64.b64encode(f"\0bob\0{PASSWORD}".encode()).decode()
        self.say(f"{head}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>", b"<success")
        self.say(f"{head}<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", b"id='b'", b'id="b"')
        self.say("<presence/>", b"<presence")
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def say(self, text, *until):
        self.socket.sendall(text.encode())
        answer = b""
        while not any(u in answer for u in until):
            data = self.socket.recv(65536)
            if not data or b"<failure" in answer:
                sys.exit(f"bob could not log in: {answer.decode()}")
            answer += data

    def listen(self):
        said = time.monotonic()
        try:
            while data := self.socket.recv(262144):
                # Who is never heard is pinged, and would have to answer.
                if time.monotonic() - said > 5:
                    self.socket.sendall(b" ")
                    said = time.monotonic()
                data = self.rest + data
                self.count += data.count(b"</message>")
                self.rest = b"" if data.endswith(b"</message>") else data[-9:]
        except OSError:
            pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


class Price:
    """What keys of one password cost by PBKDF2 of OpenSSL, while something else runs, as in the server."""

    def __init__(self, *algorithms):
        self.algorithms, self.cpu, self.over = algorithms, [], threading.Event()
        self.thread = threading.Thread(target=self.measure)

    def measure(self):
        while not self.over.wait(0.02) or not self.cpu:
            began = time.thread_time_ns()
            for name in self.algorithms:
                hashlib.pbkdf2_hmac(name, PASSWORD.encode(), b"sixteen bytes ok", ITERATIONS)
            self.cpu.append((time.thread_time_ns() - began) / 1000)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.cpu_us = statistics.mean(self.cpu)


def row(what, measured, must, note=""):
    bad = must is not None and measured > must
    bound = "" if must is None else f"{must:.4g}"
    print(f"| {what} | {measured:.2f}{' (!)' if bad else ''} | {bound} | {note} |", flush=True)


# -- rows --------------------------------------------------------------------------------------------


def in_turns(args, node, bare, load, port, connections, rounds=3):
    """µs of CPU a request of the node and of the bare route, each having its part of every second."""
    ours = {"cpu": 0, "requests": 0}
    floor = dict(ours)
    for _ in range(1 if args.quick else rounds):
        for sums, server, at in ((floor, bare, bare.port), (ours, node, port)):
            found = load.run(server, at, args.seconds / (1 if args.quick else rounds), connections)
            for key in sums:
                sums[key] += found[key]
    return tuple(s["cpu"] / s["requests"] * 1e6 for s in (ours, floor)) + (ours["requests"],)


def send(args, close, remember="10s"):
    load = Load("/api/graphql", SEND, basic("alice@localhost", PASSWORD), close)
    with running(Node(args, remember)) as node, running(Bare(args.build, json.dumps(
            {"data": {"stanza": {"sendMessage": {"id": "0123456789abcdef"}}}}))) as bare:
        ours, floor, requests = in_turns(args, node, bare, load, node.user, 16)
        end = time.monotonic() + 60
        while node.receiver.count < requests and time.monotonic() < end:
            time.sleep(0.01)
        if node.receiver.count < requests or node.metric("graphql_errors_total"):
            sys.exit(f"{requests} messages were sent, {node.receiver.count} came")
    return ours, floor


def keep(args):
    ours, floor = send(args, False)
    row("sendMessage, kept connection: CPU, × the bare route", ours / floor, 4, f"{ours:.0f} µs, bare {floor:.0f} µs")


def new(args):
    ours, floor = send(args, True)
    row("sendMessage, a new connection each: CPU, × the bare route", ours / floor, 3, f"{ours:.0f} µs, bare {floor:.0f} µs")


def price_of_check(args):
    """What the server itself needs to read an account's keys and try a password: a query that does so, without one that does not."""
    query = f'{{ account {{ checkPassword(user: "alice@localhost", password: "{PASSWORD}") {{ message }} }} }}'
    with running(Node(args)) as node:
        costs = [Load("/api/graphql", q, basic("admin", ADMIN)).run(node, node.admin, args.seconds / 2, 16)["cpu_us"]
                 for q in (query, "{ checkAuth { authStatus } }")]
        if node.metric("graphql_errors_total"):
            sys.exit("passwords could not be checked")
    return costs[0] - costs[1]


def check(args):
    price = price_of_check(args)
    with Price("sha1") as alone:
        ours, floor = send(args, True, remember="0")
    row("the same where no password is remembered: CPU, × (3 × the bare route + one check)", ours / (3 * floor + price), 1,
        f"{ours:.0f} µs, check {price:.0f} µs (PBKDF2 alone {alone.cpu_us:.0f}), bare {floor:.0f} µs")


FIRST = ("chrt", "--fifo", "1")


def run_first(args, load, node, port, **more):
    """Before other programs, where that is allowed: what counts is our own time, not that of a busy machine. They have to wait
    meanwhile, so not where it is only tried (--quick)."""
    if args.quick:
        return load.run(node, port, 1, 1, **more)
    allowed = subprocess.run([*FIRST, "true"], stderr=subprocess.DEVNULL).returncode == 0
    node.schedule(os.SCHED_FIFO, 1)
    found = load.run(node, port, args.seconds / 3, 1, before=FIRST if allowed else (), **more)
    node.schedule(os.SCHED_OTHER, 0)
    return found


def register(args):
    query = f'mutation {{ account {{ registerUser(domain: "localhost", username: "NAME", password: "{PASSWORD}") {{ jid }} }} }}'
    load = Load("/api/graphql", query, basic("admin", ADMIN))
    with running(Node(args)) as node:
        with Price("sha1", "sha256", "sha512") as price:
            found = load.run(node, node.admin, args.seconds, 1, names="user")
        wall = run_first(args, load, node, node.admin, names="wall")
        made = node.ask('{ account { countUsers(domain: "localhost") } }')["account"]["countUsers"]
        if made < found["requests"] + wall["requests"] + 2:
            sys.exit("accounts are missing")
    row("registerUser, without its SCRAM keys: ms of CPU", (found["cpu_us"] - price.cpu_us) / 1000, 3,
        f"{found['cpu_us'] / 1000:.2f} ms, keys {price.cpu_us / 1000:.2f} ms")
    row("— one at a time, before other programs: ms until answered, median, without the CPU of the keys",
        (wall["median_us"] - price.cpu_us) / 1000, 3, f"{wall['median_us'] / 1000:.2f} ms")


def lags(node):
    return {(labels["worker"], float(labels["le"])): value for name, labels, value in node.metrics()
            if name == "event_loop_lag_seconds_bucket"}


def lag_ms(before, after, share):
    """The quantile, within its bucket as Prometheus does it; and of how many."""
    counts = {}
    for key, value in after.items():
        counts[key[1]] = counts.get(key[1], 0) + value - before[key]
    total = counts[float("inf")]
    low, last = 0, 0
    for le, n in sorted(counts.items()):
        if n >= share * total and n > last:
            high = low * 2 if le == float("inf") else le
            return (low + (high - low) * (share * total - last) / (n - last)) * 1000, int(total)
        low, last = le, n
    return 0.0, int(total)


def lag_during(node, seconds, ask=None):
    """While ask() is called again and again. Before other programs, where that is allowed: it is our own lag that counts, not that of a busy machine."""
    node.schedule(os.SCHED_FIFO, 1)
    before, end = lags(node), time.monotonic() + seconds
    while time.monotonic() < end:
        if ask:
            ask()
        time.sleep(0.02)
    after = lags(node)
    node.schedule(os.SCHED_OTHER, 0)
    return lag_ms(before, after, 0.999)


def scraper(node):
    connection = http.client.HTTPConnection("127.0.0.1", node.plain, timeout=60)

    def scrape():
        connection.request("GET", "/metrics", headers=SCRAPE)
        connection.getresponse().read()
    return scrape


def metrics(args):
    count = 300 if args.quick else 10000
    with running(Node(args)) as node:
        few = Load("/metrics", headers=SCRAPE).run(node, node.plain, 1, 1)["cpu_us"]
        idle = subprocess.Popen([args.build / "meerkat-bench", "-q", "-H", f"127.0.0.1:{node.port('c2s')}", "-M", "ANONYMOUS", "-D",
                                 "anon.localhost", "-d", "3600", "idle", "-n", str(count), "--parallel", "50"],
                                stdout=subprocess.DEVNULL)
        try:
            while node.metric("sessions") < count + 1:
                if idle.poll() is not None:
                    sys.exit("the sessions ended")
                time.sleep(0.05)
            found = Load("/metrics", headers=SCRAPE).run(node, node.plain, args.seconds, 1)
            wall = run_first(args, Load("/metrics", headers=SCRAPE), node, node.plain)
            calm, _ = lag_during(node, args.seconds)
            busy, samples = lag_during(node, args.seconds, scraper(node))
            listing, _ = lag_during(node, args.seconds, lambda: node.ask(LIST))
            asked = Load("/api/graphql", COUNT, basic("admin", ADMIN)).run(node, node.admin, args.seconds, 16)
            shown = node.ask(COUNT)["session"]["countSessions"]
        finally:
            idle.send_signal(signal.SIGTERM)
            idle.wait()
    if shown != count + 1:
        sys.exit(f"{count + 1} sessions, not {shown}")
    row(f"/metrics with {count:,} sessions, as Prometheus asks: ms of CPU", found["cpu_us"] / 1000, 2, f"with one session {few / 1000:.2f} ms")
    row("— before other programs: ms until answered, median", wall["median_us"] / 1000, 2)
    row("event-loop lag during scrapes, 50 a second: p99.9, ms", busy, 2, f"of {samples}; without scrapes {calm:.2f} ms")
    row(f"— while an administrator lists {min(count, 10000):,} sessions again and again", listing, None)
    row(f"countSessions by an administrator, {count:,} sessions: µs of CPU", asked["cpu_us"], None)


class running:
    """Stops what it is given at the end."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        return self.server

    def __exit__(self, *_):
        self.server.stop()


# -- the soak ------------------------------------------------------------------------------------------


def soak(args):
    """Kept and new connections, mutations and queries, all at once: what is resident after a fifth of the time must be all."""
    user = basic("alice@localhost", PASSWORD)
    loads = [Load("/api/graphql", query, user, close, tell=True) for query, close in ((SEND, False), (QUERY, False), (SEND, True))]
    at = []
    with running(Node(args)) as node, concurrent.futures.ThreadPoolExecutor() as pool:
        began = time.monotonic()
        running_loads = [pool.submit(load.run, node, node.user, args.soak, 8) for load in loads]
        for share in (0.2, 0.6, 0.97):
            time.sleep(max(0, began + share * args.soak - time.monotonic()))
            at.append(node.resident())
        concurrent.futures.wait(running_loads)
        # Then messages would be stored, faster than a disk takes them, and passwords would wait for the database.
        if node.metric("c2s_slow_clients_total"):
            sys.exit("bob, who receives, did not get the processor for long and was cut: try again on a calmer machine")
        for load in running_loads:
            load.result()
        total, errors = node.metric("graphql_requests_total"), node.metric("graphql_errors_total")
    growth = (at[-1] - at[0]) / at[0] * 100
    shown = " / ".join(f"{n / 1048576:.1f}" for n in at)
    print(f"| what | measured | must | |\n|---|---|---|---|\n| resident memory in {args.soak:g} s of load, warm / middle / end, MB | "
          f"{shown} | | {total:,.0f} requests, {errors:.0f} errors |")
    row("growth, %", growth, args.growth)
    return growth <= args.growth and errors == 0 and total > 0


ROWS = {"keep": keep, "new": new, "check": check, "register": register, "metrics": metrics}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="short, with few sessions: to see that it works")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="instead: memory under load for so long")
    parser.add_argument("--growth", type=float, default=5, metavar="PERCENT", help="what --soak forgives")
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=f"of {', '.join(ROWS)}")
    args = parser.parse_intermixed_args()
    args.build = args.build.resolve()
    if args.quick:
        args.seconds = 1
    if args.soak:
        return 0 if soak(args) else 1
    print(f"{args.workers} worker(s), {args.seconds:g} s a figure\n\n| what | measured | must | |\n|---|---|---|---|")
    for name in args.rows or ROWS:
        ROWS[name](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
