# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The databases behind nodes under test: SQLite files, and a PostgreSQL server of our own.

`Postgres` starts a real server in a folder that goes with the test run: Unix socket and a free port of
loopback, safe from its own crash but not from the machine's. `connect(node)` looks into a node's database from outside, whichever it is.
MEERKAT_DATABASE=pgsql puts all nodes of a test run on PostgreSQL, each on a database of its own.
"""
import contextlib
import itertools
import os
import pathlib
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile

import psycopg2

KIND = os.environ.get("MEERKAT_DATABASE", "sqlite")
names = itertools.count(1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Postgres:
    """A PostgreSQL server. As root it runs as user postgres: it refuses to be root."""

    def __init__(self):
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"),
                       key=lambda p: int(p.parent.name))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="meerkat-pg-"))
        self.port = free_port()
        self.process = None
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres"
            shutil.chown(self.folder, "postgres", "postgres")
        self.run("initdb", "-D", self.folder / "data", "-U", "meerkat", "-A", "scram-sha-256",
                 "--pwfile", self.write("password", "hush-hush\n"), "-E", "UTF8", "--locale=C", "-N")
        with open(self.folder / "data" / "postgresql.conf", "a") as conf:
            conf.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                       f"unix_socket_directories = '{self.folder}'\nfsync = off\n"
                       "full_page_writes = off\nmax_connections = 200\n"
                       "shared_buffers = 32MB\nlog_statement = none\n")

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        if self.user:
            shutil.chown(path, self.user, self.user)
        return path

    def run(self, program, *args):
        subprocess.run([self.bin / program, *args], check=True, user=self.user,
                       group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                       extra_groups=[] if self.user else None, cwd=self.folder,
                       stdout=subprocess.DEVNULL)

    def start(self):
        self.run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "start")
        return self

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def pid(self):
        """The postmaster's, or None when there is none."""
        path = self.folder / "data" / "postmaster.pid"
        return int(path.read_text().split()[0]) if path.exists() else None

    def destroy(self):
        if self.pid():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def connect(self, database="postgres"):
        return psycopg2.connect(host="127.0.0.1", port=self.port, user="meerkat", password="hush-hush",
                                dbname=database)

    def create(self, name=None):
        """A new empty database: its name."""
        name = name or f"test{next(names)}_{os.getpid()}"
        with contextlib.closing(self.connect()) as c:
            c.autocommit = True
            c.cursor().execute(f"CREATE DATABASE {name}")
        return name

    def drop(self, name):
        with contextlib.closing(self.connect()) as c:
            c.autocommit = True
            c.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def settings(self, name):
        """What a node's configuration says to use this database."""
        return {"rdbms.driver": "pgsql", "rdbms_pgsql.host": "127.0.0.1",
                "rdbms_pgsql.port": self.port, "rdbms_pgsql.user": "meerkat",
                "rdbms_pgsql.password": "hush-hush", "rdbms_pgsql.database": name,
                "rdbms_pgsql.sslmode": "disable", "rdbms_pgsql.statement_timeout": "700ms"}


shared = None


def postgres():
    """The server of this test run, started when it is asked for first."""
    global shared
    if not shared:
        shared = Postgres().start()
    return shared


def destroy_shared():
    global shared
    if shared:
        shared.destroy()
        shared = None


class Connection:
    """sqlite3's way of speaking for both: `?` for parameters, execute() gives a cursor. Without a
    transaction unless `BEGIN` begins one."""

    def __init__(self, raw, pgsql):
        self.raw = raw
        self.pgsql = pgsql
        if pgsql:
            raw.autocommit = True

    def execute(self, sql, values=()):
        if not self.pgsql:
            return self.raw.execute(sql, values)
        cursor = self.raw.cursor()
        cursor.execute(sql.replace("%", "%%").replace("?", "%s"), values)
        return cursor

    @staticmethod
    def rows(cursor):
        if not cursor.description:
            return []
        return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
                for row in cursor.fetchall()]

    def lock(self, table):
        """Holds off everybody else who would write to the table (not who reads it), until `unlock`."""
        self.execute("BEGIN" if self.pgsql else "BEGIN IMMEDIATE")
        if self.pgsql:
            self.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")

    def unlock(self):
        self.execute("ROLLBACK")

    def close(self):
        self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(node):
    if node.database:
        return Connection(postgres().connect(node.database), True)
    path = next(node.folder.rglob("*.sqlite3"))
    return Connection(sqlite3.connect(path, timeout=10, isolation_level=None), False)
