# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Service "rdbms": the same promises over SQLite and over a real PostgreSQL."""
import base64
import os
import re


import pytest

from database import Postgres
from support import Node, wait_for

CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[auth_memory]
accounts = alice:secret
[rdbms]
result_size = 64K
timeout = 5s
[t_rdbms]
"""
NS = "meerkat:test:rdbms"
KINDS = ("sqlite", "pgsql")


def value(v):
    if v is None:
        return "<v t='null'/>"
    if isinstance(v, int):
        return f"<v t='int'>{v}</v>"
    if isinstance(v, bytes):
        return f"<v t='bytes'>{base64.b64encode(v).decode()}</v>"
    return f"<v>{v}</v>"


class Result:
    def __init__(self, text):
        attrs = dict(re.findall(r"(\w+)='([^']*)'", text.split(">")[0]))
        self.status, self.error = attrs["status"], attrs["error"]
        self.count, self.affected = int(attrs["rows"]), int(attrs["affected"])
        self.rows = [[self.cell(*c) for c in re.findall(r"<c([^>]*?)(?:/>|>([^<]*)</c>)", row)]
                     for row in re.findall("<row>(.*?)</row>", text)]

    @staticmethod
    def cell(attrs, text):
        """(is NULL, as an integer, as bytes)"""
        return ("null=" in attrs, int(re.search("int='(-?[0-9]+)'", attrs).group(1)),
                base64.b64decode(text or ""))


class Db:
    """SQL that a module runs, asked for by a client."""

    def __init__(self, client):
        self.client = client

    def ask(self, steps, **attrs):
        more = "".join(f" {k}='{v}'" for k, v in attrs.items())
        inner = "".join(f"<s q='{q}'>{''.join(map(value, values))}</s>" for q, *values in steps)
        self.client.send(f"<iq type='set' id='run' to='localhost'><run xmlns='{NS}'{more}>{inner}</run></iq>")
        return self.client.until("<iq[^>]*id='run'.*?</iq>", patience=30)

    def run(self, *steps, **attrs):
        return [Result(r) for r in re.findall("<result [^>]*/>|<result [^>]*>.*?</result>", self.ask(steps, **attrs))]

    def one(self, *step, **attrs):
        return self.run(step, **attrs)[0]

    def number(self, key):
        return self.one("get", key).rows[0][1][1]

    def brief(self, *steps, **attrs):
        text = self.ask(steps, brief=1, **attrs)
        return {k: int(n) for k, n in re.findall(r"(\w+)='(\d+)'", re.search("<run [^>]*>", text)[0])}


def start(start_node, kind, config=CONFIG, **more):
    node = start_node(config, kind=kind, **more)
    return node, Db(node.client("alice"))


@pytest.fixture(scope="module", params=KINDS)
def shared(request, tmp_path_factory):
    node = Node(tmp_path_factory.mktemp(request.param), CONFIG, kind=request.param).start()
    yield node
    node.stop()


@pytest.fixture
def db(shared):
    with shared.db() as raw:
        raw.execute("DELETE FROM t_items")
    client = shared.client("alice")
    yield Db(client)
    client.drop()


def test_values_come_back_as_they_went_in(db):
    blob = bytes(range(256)) * 3
    for n in (0, -1, 2**63 - 1, -2**63):
        db.one("upsert", "k", n)
        assert db.number("k") == n
    db.one("take", "k")
    assert db.one("put", "Ä€😀 ?'\"\\", 1, "täxt\n%_", blob).status == "ok"
    row = db.one("get", "Ä€😀 ?'\"\\").rows[0]
    assert row[0][2].decode() == "Ä€😀 ?'\"\\" and row[2][2].decode() == "täxt\n%_"
    assert row[3][2] == blob and row[4][1] == 7
    db.one("put", "null", 1, None, None)
    row = db.one("get", "null").rows[0]
    assert row[2][0] and row[3][0] and not row[1][0]
    db.one("put", "empty", 1, "", b"")
    row = db.one("get", "empty").rows[0]
    assert not row[2][0] and row[2][2] == b"" and not row[3][0] and row[3][2] == b""


def test_question_marks_in_literals_names_and_comments_are_no_parameters(db):
    db.one("upsert", "k", 1)
    assert [c[2] for c in db.one("marks", "k").rows[0][:2]] == [b"?'?", b"k"]


def test_rows_that_changed_are_counted_and_can_be_returned(db):
    assert db.one("add", 1, "nobody").affected == 0
    assert db.one("upsert", "k", 5).affected == 1
    taken = db.one("take", "k")
    assert (taken.count, taken.affected, taken.rows[0][0][1]) == (1, 1, 5)
    first, second = db.run(("log", "a"), ("log", "b"), key="k")
    assert second.rows[0][0][1] > first.rows[0][0][1]


def test_a_unique_key_is_a_status_of_its_own(db):
    db.one("put", "k", 1, None, None)
    again = db.one("put", "k", 2, None, None)
    assert again.status == "duplicate" and db.number("k") == 1
    assert "secret" not in db.one("put", "k", 2, "secret", None).error


def test_a_batch_is_all_or_nothing(db):
    db.one("upsert", "there", 1)
    failed = db.run(("upsert", "a", 1), ("put", "there", 2, None, None), ("upsert", "b", 1), batch=1)
    assert [r.status for r in failed] == ["duplicate"]
    assert not db.one("get", "a").rows and not db.one("get", "b").rows
    done = db.run(("upsert", "a", 1), ("add", 4, "a"), ("get", "a"), batch=1)
    assert done[0].status == "ok" and done[0].rows[0][1][1] == 5 and done[0].affected == 2


def test_requests_with_one_key_keep_their_order(db):
    db.one("upsert", "k", 0)
    numbers = [r.rows[0][1][1] for r in db.run(("add", 1, "k"), ("get", "k"), key="k", times=300) if r.rows]
    assert numbers == list(range(1, 301))


def test_requests_without_a_key_are_all_done(db):
    db.one("upsert", "k", 0)
    assert db.brief(("add", 1, "k"), times=500)["ok"] == 500
    assert db.number("k") == 500


def test_a_wrong_statement_hurts_nobody_else(db):
    results = db.run(("upsert", "before", 1), ("wrong", "x"), ("upsert", "after", 1), key="k")
    assert [r.status for r in results] == ["ok", "error", "ok"] and re.search('nothing|t_nowhere', results[1].error)
    assert db.one("limits", "k").status == "error"
    assert db.number("before") == db.number("after") == 1


def test_text_that_is_not_utf8_is_refused(db):
    for bad in (b"\xff", b"a\0b", b"\xed\xa0\x80", b"\xc0\x80"):
        text = db.client.iq("set", f"<run xmlns='{NS}'><s q='upsert'><v t='raw'>{base64.b64encode(bad).decode()}"
                            "</v><v t='int'>1</v></s></run>", to="localhost")
        assert "status='error'" in text and "UTF-8" in text


def test_an_answer_has_a_largest_size(db):
    assert db.one("series", 100).count == 100
    large = db.one("series", 100000)
    assert large.status == "error" and "rdbms.result_size" in large.error
    assert db.one("series", 3).count == 3


def test_time_stamps_are_utc_and_like_looks_at_case(db):
    db.run(("upsert", "Key", 1), ("upsert", "key", 2), key="k")
    assert [r[0][2] for r in db.one("like", "K%").rows] == [b"Key"]
    stamp = db.one("time", "key").rows[0][0][2].decode()
    now = os.popen("date -u '+%Y-%m-%d %H'").read().strip()
    assert stamp[:13] in (now, stamp[:13]) and re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", stamp)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_answered_survives_kill_9(start_node, kind):
    node, db = start(start_node, kind)
    text = db.client.iq("set", f"<run xmlns='{NS}' times='200' brief='1'><s q='upsert'><v t='i'>k</v>"
                        "<v t='int'>1</v></s></run>", to="localhost")
    assert "ok='200'" in text
    node.kill()
    node.start()
    with node.db() as raw:
        assert raw.execute("SELECT count(*) FROM t_items WHERE k LIKE 'k%'").fetchone()[0] == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_migration_is_applied_once_and_a_broken_one_undoes_nothing_else(start_node, kind, tmp_path):
    node, db = start(start_node, kind, CONFIG + "level = 1\n")
    assert "applied migration 1 of module 't_rdbms'" in node.log()
    db.one("upsert", "kept", 3)
    node.stop()
    node.configure(CONFIG + "level = 3\n")
    node.start(wait=False)
    assert node.process.wait(20) != 0
    log = node.log()
    assert "applied migration 2" in log and "migration 3 of module 't_rdbms'" in log and "t_nowhere" in log
    node.configure(CONFIG)
    node.start()
    assert "applied migration" not in node.log()
    with node.db() as raw:
        assert raw.execute("SELECT n, more FROM t_items").fetchall() == [(3, 7)]
        with pytest.raises(Exception):
            raw.execute("SELECT * FROM t_never")


def test_nodes_that_start_together_migrate_once(tmp_path, postgres):
    name = postgres.create()
    nodes = [Node(tmp_path / str(i), CONFIG) for i in range(4)]
    for node in nodes:
        node.use_postgres(name)
        node.start(wait=False)
    for node in nodes:
        node.wait_log("is ready")
    assert sum(n.log().count("applied migration 1 of module 't_rdbms'") for n in nodes) == 1
    for node in nodes:
        node.stop()


@pytest.fixture
def own_postgres():
    server = Postgres().start()
    yield server
    server.destroy()


def node_on(server, folder, config=CONFIG):
    node = Node(folder, config, kind="sqlite")
    node.use_postgres(server.create(), server)
    return node


def test_a_server_that_goes_is_reported_and_one_that_comes_back_is_used(own_postgres, tmp_path):
    node = node_on(own_postgres, tmp_path).start()
    db = Db(node.client("alice"))
    assert db.one("upsert", "k", 1).status == "ok"
    own_postgres.stop("immediate")
    assert wait_for(lambda: db.one("upsert", "k", 2).status == "unavailable" or None)
    assert db.brief(("add", 1, "k"), times=50)["unavailable"] == 50
    node.wait_log("cannot connect to the database")
    own_postgres.start()
    assert wait_for(lambda: db.one("get", "k").status == "ok" or None, patience=30)
    assert db.number("k") == 1 and node.process.poll() is None
    node.stop()


def test_nothing_is_claimed_that_a_killed_server_did_not_store(own_postgres, tmp_path):
    node = node_on(own_postgres, tmp_path).start()
    db = Db(node.client("alice"))
    db.one("upsert", "k", 0)
    text = f"<iq type='set' id='load' to='localhost'><run xmlns='{NS}' times='3000' brief='1'>" \
        "<s q='add'><v t='int'>1</v><v>k</v></s></run></iq>"
    db.client.send(text)        # not waited for
    with own_postgres.connect(node.database) as raw:
        raw.autocommit = True
        cursor = raw.cursor()
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                       "application_name = 'meerkat' AND pid <> pg_backend_pid()")
        assert cursor.rowcount >= 1
    answer = db.client.until("<iq[^>]*id='load'.*?</iq>", patience=30)
    by = {k: int(n) for k, n in re.findall(r" (\w+)='(\d+)'", re.search("<run [^>]*>", answer)[0])}
    assert by["ok"] + by["unavailable"] == 3000
    assert wait_for(lambda: db.one("get", "k").status == "ok" or None, patience=30)
    # Those that were under way may have been done; what was said to be done must have been.
    assert by["ok"] <= db.number("k") <= 3000
    node.stop()


@pytest.mark.parametrize("key, bad, said", [
    ("password", "wrong", "password authentication failed"),
    ("database", "nowhere", 'database "nowhere" does not exist'),
    ("user", "nobody", "password authentication failed")])
def test_an_administrator_is_told_why_there_is_no_connection(own_postgres, tmp_path, key, bad, said):
    node = node_on(own_postgres, tmp_path)
    node.args += ["--set", f"rdbms_pgsql.{key}={bad}"]
    node.start(wait=False)
    line = node.wait_log(f"cannot connect to the database: .*{re.escape(said)}")
    assert "hush-hush" not in node.log() and line
    node.wait_log("is ready")
    node.stop()
