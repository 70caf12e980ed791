#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What replicated tables cost: three nodes on this machine, records of 196 bytes (`./dev bench cluster`).

Discovery is by one SQLite file (it is asked every few seconds and takes no part in what is measured). Beside the figures: a
bare echo over loopback between two processes in the same run, so that the machine's mood shows.
usage: cluster.py BUILD [--records N] [--single N] [--each N] [--workers N]"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

CONFIG = """
[meerkat]
node = {name}
workers = {workers}
state_dir = {dir}
module_path = {build}/.libs
[rdbms]
[rdbms_sqlite]
file = {shared}
[discovery_rdbms]
interval = 1s
[cets]
listen = 127.0.0.1:0
[router]
tables = cets
[t_tables]
"""
RECORD = 196


def echo(turns=20000):
    """Microseconds of one byte to another process and back: median and 99th percentile."""
    listener = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if pid == 0:
        s = socket.create_connection(listener.getsockname())
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := s.recv(256):
            s.sendall(data)
        os._exit(0)
    s, _ = listener.accept()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    for _ in range(turns):
        began = time.perf_counter_ns()
        s.sendall(b"x" * RECORD)
        s.recv(256)
        times.append(time.perf_counter_ns() - began)
    s.close()
    os.waitpid(pid, 0)
    times.sort()
    return times[turns // 2] / 1000, times[turns * 99 // 100] / 1000


class Node:
    def __init__(self, folder, build, name, workers, **settings):
        self.folder = folder / name
        self.folder.mkdir()
        text = CONFIG.format(name=name, workers=workers, dir=self.folder, build=build, shared=folder / "shared.sqlite3")
        text += "".join(f"{key} = {value}\n" for key, value in settings.items())
        (self.folder / "ini").write_text(text)
        self.log_path = self.folder / "log"
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([f"{build}/meerkatd", "--foreground", "--config", self.folder / "ini"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self, pattern, patience=120):
        end = time.monotonic() + patience
        while not (match := re.search(pattern, self.log_path.read_text())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"no '{pattern}':\n{self.log_path.read_text()[-2000:]}")
            time.sleep(0.02)
        return match

    def memory(self):
        return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text()).group(1)) * 1024

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()


def row(what, figure, must):
    print(f"| {what} | {figure} | {must} |", flush=True)


def run(args, folder, nodes):
    workers = args.workers
    nodes += [Node(folder, args.build, f"n{i}", workers) for i in (1, 2)]
    for node in nodes:
        node.wait("cets.in_sync")
    empty = nodes[0].memory()
    nodes.append(Node(folder, args.build, "n0", workers, nodes=3, many=args.records, single=args.single, each=args.each))
    writer = nodes[-1]
    found = writer.wait(r"many: (\d+) records in (\d+) us")
    row("insert_many in batches of 1,000, records a second", f"{int(found[1]) / int(found[2]) * 1e6:,.0f}", "≥ 1,000,000")
    found = writer.wait(r"single: median (\d+) us, p99 (\d+) us")
    row("insert that waits for all nodes, µs median / p99", f"{found[1]} / {found[2]}", "≤ 60 / ≤ 200")
    found = writer.wait(r"writers: (\d+) us")
    row("the same, 64 writers, a second", f"{64 * args.each / int(found[1]) * 1e6:,.0f}", "≥ 150,000")
    total = args.records + args.single + 64 * args.each
    row("memory a record and node above its 196 bytes", f"{(nodes[0].memory() - empty) / total - RECORD:.0f}", "≤ 160")
    late = Node(folder, args.build, "n9", workers)
    nodes.append(late)
    found = late.wait(r"in sync with the cluster after (\d+) ms: (\d+) records")
    row(f"a fresh node joins, {int(found[2]):,} records, s", f"{int(found[1]) / 1000:.2f}", "≤ 2.5 for 1,000,000")
    row("CPU of the three nodes until then, s", " + ".join(f"{n.cpu():.1f}" for n in nodes[:3]), "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--records", type=int, default=1000000)
    parser.add_argument("--single", type=int, default=20000)
    parser.add_argument("--each", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    args.build = pathlib.Path(args.build).resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="meerkat-bench-"))
    nodes = []
    print("| what | here | must |\n|---|---|---|")
    median, p99 = echo()
    row("bare loopback echo, µs median / p99", f"{median:.0f} / {p99:.0f}", "")
    try:
        run(args, folder, nodes)
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
