# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What meerkatd does without being a node: --init, --print-schema, and tasks (accounts, backup, restore)."""
import os
import pathlib
import re
import sqlite3
import ssl
import subprocess

import pytest

import database
from support import BUILD, MODULES, Node

CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_rdbms]
[roster]
[presence]
[offline]
"""


def meerkatd(*args, stdin="", ok=True, **env):
    run = subprocess.run([BUILD / "meerkatd", *args], input=stdin, capture_output=True, text=True, timeout=60,
                         env={**os.environ, **env})
    assert (run.returncode == 0) == ok, run.stdout + run.stderr
    return run.stdout if ok else run.stderr


def task(node, *args, **more):
    return meerkatd("--config", node.ini, *node.args, "--run", *args, **more)


@pytest.fixture
def make_node(tmp_path):
    """make_node(): a Node that is configured and not started; stopped after the test if it was."""
    nodes = []

    def make(config=CONFIG, **more):
        nodes.append(Node(tmp_path / f"node{len(nodes)}", config, **more))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()


# -- --init

@pytest.fixture
def init(tmp_path):
    """init(*args): a configuration made by --init in a folder of its own, as (file, output)."""
    def make(*args, name="etc", **more):
        ini = tmp_path / name / "meerkat.ini"
        ports = [f"--set={k}=127.0.0.1:0" for k in ("c2s.listen", "c2s.listen_tls", "http.listen", "graphql.user_listen")]
        out = meerkatd("--config", ini, f"--set=meerkat.module_path={MODULES}", f"--set=meerkat.state_dir={tmp_path / name}",
                       *ports, *args, "--init", "Chat.Example", **more)
        return ini, out
    return make


def start(make_node, ini):
    node = make_node("", hosts="chat.example", kind="")
    node.ini.write_bytes(ini.read_bytes())
    return node.start()


def test_init_makes_a_server_to_which_its_administrator_logs_in_over_tls(init, make_node):
    ini, out = init()
    folder = ini.parent
    assert out.splitlines() == [f"wrote {folder}/tls/chat.example.key", f"wrote {folder}/tls/chat.example.crt", f"wrote {ini}",
                                f"wrote {folder}/admin-password", "made account admin@chat.example"]
    assert (folder / "admin-password").stat().st_mode & 0o777 == 0o600
    assert not (folder / "tls/chat.example.key").stat().st_mode & 0o007 and not ini.stat().st_mode & 0o007
    node = start(make_node, ini)
    assert not re.search(" (warn|error) ", node.log()), node.log()
    trust = ssl.create_default_context(cafile=folder / "tls/chat.example.crt")
    with node.client() as admin:
        admin.starttls(trust)
        admin.login("admin", (folder / "admin-password").read_text().strip())


def test_init_keeps_the_comments_and_puts_settings_in_their_places(init):
    ini, _ = init("--set=c2s.max_stanza=99K", "--set=rdbms_sqlite.readers=3", "--set=t.new=1", "--set=roster.max_items=7",
                  "--set=tls.self_signed=yes", ok=False)
    lines = ini.read_text().splitlines()
    template = (pathlib.Path(__file__).parents[2] / "etc/meerkat.ini").read_text().splitlines()
    assert len(lines) > len(template) and len(set(template) - set(lines)) < 12
    for section, line in (("[c2s]", "max_stanza = 99K"), ("[rdbms_sqlite]", "readers = 3"), ("[roster]", "max_items = 7"),
                          ("[t]", "new = 1"), ("[meerkat]", "hosts = chat.example"), ("[tls]", "self_signed = yes")):
        at = lines.index(line)
        assert [l for l in lines[:at] if l.startswith("[")][-1] == section
        assert lines.count(line) == 1


def test_init_changes_nothing_that_is_there(init):
    ini, _ = init()
    before = {f: f.read_bytes() for f in ini.parent.rglob("*") if f.is_file()}
    _, error = init(ok=False)
    assert error == f"meerkatd: '{ini}' is there already: nothing was changed\n"
    assert {f: f.read_bytes() for f in ini.parent.rglob("*") if f.is_file()} == before


def test_init_takes_a_real_certificate(init, make_node, tmp_path):
    made, _ = init(name="ca")
    crt, key = (made.parent / "tls" / f"chat.example.{e}" for e in ("crt", "key"))
    ini, out = init(f"--set=tls.certificate={crt}", f"--set=tls.key={key}")
    assert "tls/" not in out
    node = start(make_node, ini)
    with node.client() as c:
        c.starttls(ssl.create_default_context(cafile=crt))


def test_init_refuses_what_is_no_domain(tmp_path):
    error = meerkatd("--config", tmp_path / "a.ini", "--init", "a b", ok=False)
    assert error == "meerkatd: 'a b' is not a domain\n" and not list(tmp_path.iterdir())


# -- --print-schema

@pytest.mark.parametrize("driver", ["sqlite", "pgsql"])
def test_a_printed_schema_loaded_by_hand_is_what_a_node_makes_itself(driver, make_node, tmp_path):
    sql = meerkatd(f"--set=meerkat.module_path={MODULES}", "--print-schema", driver)
    node = make_node(kind=driver)
    if driver == "sqlite":
        with sqlite3.connect(node.folder / "meerkat.sqlite3") as db:
            db.executescript(sql)
    else:
        with database.postgres().connect(node.database) as db:
            db.cursor().execute(sql)
    node.start()
    assert "rdbms.migrated" not in node.log()
    with node.db() as db:
        assert db.execute("SELECT count(*) FROM meerkat_migrations").fetchone()[0] > 5
        assert db.execute("SELECT count(*) FROM users").fetchone()[0] == 0


def test_a_schema_of_no_driver_is_an_error():
    assert "there is no module 'rdbms_oracle'" in meerkatd(f"--set=meerkat.module_path={MODULES}", "--print-schema", "oracle", ok=False)


# -- tasks

def test_the_tasks_are_listed():
    names = [line.split()[0] for line in meerkatd(f"--set=meerkat.module_path={MODULES}", "--run").splitlines()]
    assert {"account", "backup", "restore"} <= set(names)


@pytest.mark.parametrize("args, error", [
    (["acount"], "there is no task 'acount'; did you mean 'account'?"),
    (["nonsense"], "there is no task 'nonsense' in the modules of the module path"),
    (["account"], "usage: meerkatd --run account add|password|remove USER@HOST"),
    (["account", "make", "a@localhost"], "'make' is not add, password or remove"),
    (["account", "add", "localhost"], "'localhost' is not USER@HOST"),
    (["account", "add", "a@other.example"], "'a@other.example': this server does not serve that host"),
    (["account", "add", "a@localhost"], "standard input has no line with the password"),
    (["account", "remove", "a@localhost"], "a@localhost: there is no such account"),
    (["restore", "/none"], "'/none': No such file or directory")])
def test_a_task_that_cannot_be_done_says_why(make_node, args, error):
    assert error in task(make_node(), *args, ok=False)


def test_an_account_made_by_a_task_logs_in_and_one_that_is_removed_does_not(make_node):
    node = make_node()
    assert task(node, "account", "add", "Romeo@localhost", stdin="montague\n") == "made account romeo@localhost\n"
    assert "there is such an account already" in task(node, "account", "add", "romeo@localhost", stdin="x\n", ok=False)
    node.start()
    node.client("romeo", "montague").close()
    # Beside the running node.
    task(node, "account", "password", "romeo@localhost", stdin="juliet\n")
    node.client("romeo", "juliet").close()
    task(node, "account", "remove", "romeo@localhost")
    with node.client() as c, pytest.raises(AssertionError, match="not-authorized"):
        c.login("romeo", "juliet")


def test_a_task_opens_no_port_and_leaves_the_running_node_alone(make_node):
    node = make_node(CONFIG + "[meerkat]\npid_file = {dir}/pid\n")
    node.start()
    port = node.port()
    node.ini.write_text(node.ini.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    task(node, "account", "add", "romeo@localhost", stdin="montague\n")
    assert (node.folder / "pid").read_text().strip() == str(node.process.pid)
    assert node.control("status").endswith("ok\n")


@pytest.mark.skipif(database.KIND != "sqlite", reason="backups of PostgreSQL are PostgreSQL's")
def test_a_backup_of_a_running_node_brings_back_accounts_and_messages(make_node, tmp_path):
    node = make_node()
    for user in ("romeo", "juliet"):
        task(node, "account", "add", f"{user}@localhost", stdin="secret\n")
    node.start()
    with node.client("romeo") as romeo:
        romeo.message("juliet@localhost", "before")
        romeo.sync()
        out = task(node, "backup", tmp_path / "copy")
        romeo.message("juliet@localhost", "after")
        romeo.sync()
    # The command line of administrators does the same.
    done = subprocess.run([BUILD / "meerkatctl", "backup", tmp_path / "second", "--config", node.ini], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("wrote ") and (tmp_path / "second").exists(), done.stderr
    done = subprocess.run([BUILD / "meerkatctl", "restore", tmp_path / "second", "--config", node.ini], capture_output=True, text=True)
    assert done.returncode == 1 and "a node is running here" in done.stderr
    assert re.fullmatch(rf"wrote {tmp_path}/copy: \d+ bytes\n", out)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert "is there already" in task(node, "backup", tmp_path / "copy", ok=False)
    assert "a node is running here" in task(node, "restore", tmp_path / "copy", ok=False)
    node.stop()
    (tmp_path / "rubbish").write_text("rubbish" * 1000)
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE x (y)")
    assert "not a sound database" in task(node, "restore", tmp_path / "rubbish", ok=False)
    assert "no database of Meerkat" in task(node, "restore", tmp_path / "other", ok=False)
    task(node, "restore", tmp_path / "copy")
    node.start()
    with node.client("juliet") as juliet:
        juliet.presence()
        assert "before" in juliet.stanza("<body>")
        juliet.nothing("<message")
