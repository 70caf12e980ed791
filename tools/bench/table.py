#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Prints what a node with all modules costs, as multiples of the relay that parses nothing (`./dev bench`).

Every row is one node and one run of meerkat-bench with --floor, on loopback. Accounts and rosters are in SQLite.
usage: table.py BUILD [--seconds N] [--workers N] [--quick] [ROW...]"""
import argparse
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

CONFIG = """
[meerkat]
hosts = localhost, anon.localhost
workers = {workers}
state_dir = {dir}
module_path = {build}/.libs
[c2s]
listen = 127.0.0.1:0
[tls]
self_signed = yes
[auth_anonymous]
[auth_anonymous@anon.localhost]
enabled = yes
[register]
enabled = yes
rate = 0
[rdbms]
driver = sqlite
""" + "".join(f"[{m}]\n" for m in (
    "auth_rdbms router sasl roster presence offline sm carbons csi disco ping version time last vcard "
    "private").split())

ANONYMOUS = "-M ANONYMOUS -D anon.localhost "
# name, arguments, how to read the figure, must, aim
ROWS = {
    "chat1": ("CPU a message, window 1 (× floor)", ANONYMOUS + "chat -n {n} -w 1", "floor", 2.0, 1.6),
    "chat8": ("CPU a message, window 8 (× floor)", ANONYMOUS + "chat -n {n} -w 8", "floor", 1.4, 1.0),
    "tls8": ("CPU a message, TLS 1.3, window 8 (× plaintext floor)",
             ANONYMOUS + "-t starttls chat -n {n} -w 8", "floor8", 2.5, 1.8),
    "sm8": ("CPU a message with stream management, window 8 (× without)",
            ANONYMOUS + "--sm chat -n {n} -w 8", "without", 1.15, 1.05),
    "idle": ("memory of an idle session that sent presence (KB)", ANONYMOUS + "idle -n {idle} --parallel 50",
             "memory", 4.0, 2.0),
    "idletls": ("memory of an idle session with TLS (KB)", ANONYMOUS + "-t starttls idle -n {idle} --parallel 50",
                "memory", 24.0, 16.0),
    "login": ("log-in with stored SCRAM-SHA-256 keys (× floor)",
              "--register -M SCRAM-SHA-256 login -n 20", "floor", 6.0, 4.0),
    "presence": ("presence to 50 contacts, CPU a receiver (× floor's message at window 8)",
                 "--register -M SCRAM-SHA-1 presence -n 102 -c 50", "floor8", 1.0, 0.7),
}


def log_in(port):
    """As a guest, the shortest way there is: until the server has said that it knows us."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' "
                  b"to='anon.localhost'><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
        answer = b""
        while b"<success" not in answer:
            data = s.recv(65536)
            if not data:
                sys.exit(f"the first log-in failed: {answer.decode()}")
            answer += data


class Node:
    def __init__(self, build, workers):
        self.folder = tempfile.TemporaryDirectory(prefix="meerkat-bench-")
        ini = pathlib.Path(self.folder.name) / "meerkat.ini"
        ini.write_text(CONFIG.format(workers=workers, dir=self.folder.name, build=build))
        self.log = pathlib.Path(self.folder.name) / "log"
        begin = time.monotonic()
        self.process = subprocess.Popen([build / "meerkatd", "-f", "-c", ini], stderr=self.log.open("w"))
        while not (found := re.search(r"listening for 'c2s' on 127.0.0.1:(\d+)", self.log.read_text())):
            if self.process.poll() is not None:
                sys.exit(f"meerkatd ended:\n{self.log.read_text()}")
            time.sleep(0.001)
        self.port = found.group(1)
        log_in(int(self.port))
        self.start_ms = (time.monotonic() - begin) * 1000
        while "is ready" not in self.log.read_text():
            time.sleep(0.001)

    def idle_kb(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.folder.cleanup()


def bench(build, node, words, seconds):
    command = [build / "meerkat-bench", "-q", "-H", f"127.0.0.1:{node.port}", "-P", str(node.process.pid),
               "-d", str(seconds), "--floor", *words.split()]
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, "MEERKAT_BENCH_PASSWORD": "benchsecret"})
    answer = json.loads(done.stdout)
    if answer["result"]["errors"]["total"]:
        print(f"# errors: {answer['result']['first_errors']}", file=sys.stderr)
    return answer


def figure(kind, answer, memory):
    result = answer["result"]
    cost = result.get("cpu_us_per_message") or result.get("connect", {}).get("cpu_us_per_login")
    if kind == "memory":
        return result["memory"]["kb_per_session"]
    if kind == "floor":
        return answer.get("cpu_times_floor")
    base = memory.get(kind)
    return cost / base if base else None


def measure(args, name, memory):
    text, words, kind, must, aim = ROWS[name]
    node = Node(args.build, args.workers)
    try:
        if "start" not in memory:
            memory["start"] = node.start_ms
            memory["node_kb"] = node.idle_kb()
        words = words.format(n=100 if args.quick else 1000, idle=500 if args.quick else 10000)
        if kind == "without":       # on the same node, right before and right after
            plain = words.replace("--sm ", "")
            around = [bench(args.build, node, plain, args.seconds / 2)]
        answer = bench(args.build, node, words, args.seconds)
        if kind == "without":
            around.append(bench(args.build, node, plain, args.seconds / 2))
            memory[kind] = sum(a["result"]["cpu_us_per_message"] for a in around) / 2
    finally:
        node.stop()
    if name == "chat8":
        memory["floor8"] = answer["floor"]["cpu_us_per_message"]
    value = figure(kind, answer, memory)
    cost = answer["result"].get("cpu_us_per_message") or 0
    shown = "not measured" if value is None else f"{value:.2f}"
    print(f"| {text} | {shown} | {must} | {aim} | {cost:.1f} |", flush=True)
    return value is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few sessions: to see that it works")
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}")
    args = parser.parse_intermixed_args()
    args.build = args.build.resolve()
    memory, good = {}, True
    print(f"{args.workers} worker(s), {args.seconds} s a row\n")
    print("| what | measured | must | aim | µs |\n|---|---|---|---|---|")
    for name in args.rows or ROWS:
        good = measure(args, name, memory) and good
    print(f"| start to first log-in accepted (ms) | {memory['start']:.0f} | 150 | 50 | |")
    print(f"| memory of the idle node (MB) | {memory['node_kb'] / 1024:.1f} | 20 | 10 | |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
