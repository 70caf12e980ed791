#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""A real cluster on one machine, for a developer's desk: `./dev cluster`.

up N [--port BASE] [--sqlite] [arguments of meerkatd]   start N nodes in the background; ends when all are in sync
start I | stop I | restart I | kill I                   one node: start, stop politely, both, kill -9
status                                                  what each node says
down                                                    stop all, and the database

Node I listens for clients on BASE+I (5222 if not said), for the API of users on BASE+100+I and of administrators on BASE+200+I
(name admin, password secret; /console too), for HTTP (/readyz, /metrics) on BASE+300+I and for other nodes on BASE+400+I; its
sockets, pid file and log are in var/cluster/I/. The database is a PostgreSQL of our own in var/cluster/postgres/, or one file of SQLite.
"""
import argparse
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
STATE = ROOT / "var" / "cluster"
PLAN = STATE / "plan.json"
PATIENCE = 30


def fail(text):
    sys.exit(f"cluster: {text}")


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            fail(f"waited {PATIENCE} s in vain for {what}")
        time.sleep(0.02)


# -- the database ----------------------------------------------------------------------------


def pg_bin():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    return found[-1] if found else fail("there is no PostgreSQL: install postgresql")


def as_user(folder):
    """As root the server runs as user postgres: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}


def postgres_folder():
    # Root's own folders are closed to user postgres.
    return pathlib.Path("/tmp") / f"meerkat-cluster-{os.getuid()}" if os.geteuid() == 0 else STATE / "postgres"


def postgres_start(port):
    folder = postgres_folder()
    if not (folder / "data").exists():
        folder.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        subprocess.run([pg_bin() / "initdb", "-D", folder / "data", "-U", "meerkat", "-A", "trust", "-E", "UTF8",
                        "--locale=C"], check=True, stdout=subprocess.DEVNULL, **as_user(folder))
        with open(folder / "data" / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\nmax_connections = 400\n")
    subprocess.run([pg_bin() / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", f"-p {port}", "-w", "start"],
                   check=True, stdout=subprocess.DEVNULL, **as_user(folder))


def postgres_stop():
    folder = postgres_folder()
    if (folder / "data" / "postmaster.pid").exists():
        subprocess.run([pg_bin() / "pg_ctl", "-D", folder / "data", "-m", "fast", "-w", "stop"], check=True,
                       stdout=subprocess.DEVNULL, **as_user(folder))
    shutil.rmtree(folder, ignore_errors=True)


# -- nodes -----------------------------------------------------------------------------------


def load():
    return json.loads(PLAN.read_text()) if PLAN.exists() else fail("there is no cluster: ./dev cluster up N")


def folder_of(i):
    return STATE / str(i)


def pid_of(i):
    try:
        pid = int((folder_of(i) / "pid").read_text())
        os.kill(pid, 0)
        return pid if "meerkatd" in pathlib.Path(f"/proc/{pid}/comm").read_text() else None
    except (OSError, ValueError):
        return None


def command(i, *words):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(folder_of(i) / "control.sock"))
        s.sendall((" ".join(words) + "\n").encode())
        answer = b""
        while data := s.recv(65536):
            answer += data
    return answer.decode()


def metric(i, name):
    match = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", command(i, "metrics"), re.M)
    return int(float(match.group(1))) if match else None


def start(plan, i):
    if pid_of(i):
        fail(f"node {i} runs already")
    folder = folder_of(i)
    folder.mkdir(parents=True, exist_ok=True)
    base = plan["port"]
    settings = {"meerkat.module_path": f"{plan['build']}/.libs", "meerkat.state_dir": folder, "meerkat.node": f"node{i}",
                "c2s.listen": f"127.0.0.1:{base + i}", "http.listen": f"127.0.0.1:{base + 300 + i}",
                "graphql.user_listen": f"127.0.0.1:{base + 100 + i}", "graphql.admin_listen": f"127.0.0.1:{base + 200 + i}",
                "graphql.admin_password": "secret", "cets.listen": f"127.0.0.1:{base + 400 + i}"}
    if plan["sqlite"]:
        settings["rdbms_sqlite.file"] = STATE / "shared.sqlite3"
    else:
        settings |= {"rdbms.driver": "pgsql", "rdbms_pgsql.host": "127.0.0.1", "rdbms_pgsql.port": base + 900,
                     "rdbms_pgsql.user": "meerkat", "rdbms_pgsql.database": "postgres", "rdbms_pgsql.sslmode": "disable"}
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    with open(folder / "log", "a") as log:
        process = subprocess.Popen([f"{plan['build']}/meerkatd", "--foreground", "--config", ROOT / "etc" / "cluster.ini",
                                    *arguments, *plan["arguments"]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    (folder / "pid").write_text(f"{process.pid}\n")
    wait_for(lambda: process.poll() is not None or pid_of(i), f"the start of node {i}")


def wait_in_sync(plan):
    alive = [i for i in range(plan["nodes"]) if pid_of(i)]
    for i in alive:
        def joined():
            if not pid_of(i):
                fail(f"node {i} has ended; see {folder_of(i) / 'log'}")
            try:
                return metric(i, "cluster_nodes_joined") == len(alive) - 1
            except OSError:
                return False
        wait_for(joined, f"node {i} to be in sync; see {folder_of(i) / 'log'}")


def end(i, how):
    pid = pid_of(i)
    if not pid:
        fail(f"node {i} does not run")
    os.kill(pid, how)
    wait_for(lambda: not pid_of(i), f"the end of node {i}")


# -- commands --------------------------------------------------------------------------------


def up(args, build):
    if PLAN.exists() and any(pid_of(i) for i in range(load()["nodes"])):
        fail("a cluster runs already: ./dev cluster down")
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    plan = {"nodes": args.count, "port": args.port, "sqlite": args.sqlite, "arguments": args.arguments, "build": str(build)}
    PLAN.write_text(json.dumps(plan))
    if not args.sqlite:
        postgres_start(args.port + 900)
    began = time.monotonic()
    for i in range(args.count):
        start(plan, i)
    wait_in_sync(plan)
    print(f"{args.count} nodes are in sync after {time.monotonic() - began:.1f} s")
    for i in range(args.count):
        print(f"node {i}: clients on 127.0.0.1:{args.port + i}, HTTP on 127.0.0.1:{args.port + 300 + i}, "
              f"console at http://127.0.0.1:{args.port + 200 + i}/console, "
              f"log in {(folder_of(i) / 'log').relative_to(ROOT)}")


def status(plan):
    for i in range(plan["nodes"]):
        if not pid_of(i):
            print(f"node {i}: does not run")
            continue
        print(f"node {i}: pid {pid_of(i)}, {metric(i, 'cluster_nodes_joined')} others in sync, "
              f"{metric(i, 'sessions')} sessions here, {metric(i, 'cluster_records')} records in all")


def down(plan):
    for i in range(plan["nodes"]):
        if pid_of(i):
            os.kill(pid_of(i), signal.SIGTERM)
    for i in range(plan["nodes"]):
        wait_for(lambda: not pid_of(i), f"the end of node {i}")
    if not plan["sqlite"]:
        postgres_stop()
    PLAN.unlink()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    parser = argparse.ArgumentParser(prog="./dev cluster", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("up")
    one.add_argument("count", type=int)
    one.add_argument("--port", type=int, default=5222)
    one.add_argument("--sqlite", action="store_true")
    for verb in ("start", "stop", "restart", "kill"):
        verbs.add_parser(verb).add_argument("node", type=int)
    verbs.add_parser("status")
    verbs.add_parser("down")
    args, rest = parser.parse_known_args(sys.argv[2:])
    args.arguments = [a for a in rest if a != "--"]
    if args.arguments and args.verb != "up":
        parser.error(f"unknown: {' '.join(args.arguments)}")
    if args.verb == "up":
        up(args, build)
        return
    plan = load()
    if args.verb == "status":
        status(plan)
    elif args.verb == "down":
        down(plan)
    elif args.node not in range(plan["nodes"]):
        fail(f"there are nodes 0 to {plan['nodes'] - 1}")
    elif args.verb == "start":
        start(plan, args.node)
        wait_in_sync(plan)
    elif args.verb in ("stop", "kill"):
        end(args.node, signal.SIGTERM if args.verb == "stop" else signal.SIGKILL)
    else:
        end(args.node, signal.SIGTERM)
        start(plan, args.node)
        wait_in_sync(plan)


if __name__ == "__main__":
    main()
