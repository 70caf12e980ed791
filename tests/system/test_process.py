# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The process: where its log goes, what it says when it crashes, what it tells a service manager, who it is."""
import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from extra import node_with
from support import BUILD, END, Node, auth, scram, wait_for

CONFIG = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[sasl]
attempts = 1000
[auth_memory]
accounts = alice:secret, bob:secret
"""
SANITIZED = "san" in BUILD.name
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


# -- crashes

CRASHES = {"segv": (signal.SIGSEGV, "worker"), "abort": (signal.SIGABRT, "worker"), "bug": (signal.SIGABRT, "worker"),
           "overflow": (signal.SIGSEGV, "worker"), "segv elsewhere": (signal.SIGSEGV, "offload")}


@pytest.mark.skipif(SANITIZED, reason="sanitizers have reports of their own")
@pytest.mark.parametrize("target", ["stderr", "file"])
@pytest.mark.parametrize("what", CRASHES)
def test_a_crash_leaves_a_report_in_the_log_that_names_the_module(tmp_path, what, target):
    sig, where = CRASHES[what]
    config = CONFIG + "[t_crash]\n"
    if target == "file":
        config += "[log]\ntarget = file\nfile = {dir}/own.log\n"
    node = node_with(tmp_path, config, "t_crash")
    node.start(wait=False)
    log = (lambda: (tmp_path / "own.log").read_text()) if target == "file" else node.log
    wait_for(lambda: (tmp_path / "own.log").exists() or target == "stderr", "the log")
    port = int(wait_for(lambda: re.search(r"listening for 'c2s' on [^ ]*:(\d+)", log()), "the port").group(1))
    wait_for(lambda: "is ready" in log(), "the node")
    node.port = lambda *_: port
    client = node.client("alice")
    client.send(f"<iq type='set' id='c' to='localhost'><crash xmlns='meerkat:test:crash' how='{what.split()[0]}' "
                f"where='{where}'/></iq>")
    assert node.process.wait(20) == -sig
    client.drop()
    report = re.search(rf"^meerkatd [0-9.]*: crash: signal {int(sig)},.*?^meerkatd: end of the crash report$", log(), re.M | re.S)
    assert report, log()[-3000:]
    assert re.search(r"^t_crash\.so\(\+0x[0-9a-f]+\)", report.group(0), re.M), report.group(0)
    assert re.search(r"meerkatd\(", report.group(0)) or what == "overflow"
    if what == "bug":
        assert re.search(r"^meerkatd: fatal: bug at .*t_crash\.c:\d+: asked to have one$", log(), re.M)


# -- the log

def lines(path):
    return pathlib.Path(path).read_text().splitlines()


def fail_to_log_in(node, times=1):
    with node.client() as client:
        for _ in range(times):
            client.send(auth("PLAIN", "\0alice\0wrong-password"))
            client.until(END)


def test_a_log_of_json_has_one_object_a_line_and_moves_when_it_is_rotated(start_node, tmp_path):
    log, old = tmp_path / "own.log", tmp_path / "own.log.1"
    node = Node(tmp_path / "node", CONFIG + f"[log]\ntarget = file\nfile = {log}\nformat = json\n")
    node.start(wait=False)
    try:
        wait_for(lambda: log.exists() and "is ready" in log.read_text(), "the log")
        for line in lines(log):
            entry = json.loads(line)
            assert {"time", "level", "module", "event", "text"} <= set(entry)
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", entry["time"])
        log.rename(old)
        node.port = lambda *_: json.loads(next(l for l in lines(old) if "listening for 'c2s'" in l))["text"].rsplit(":", 1)[1]
        fail_to_log_in(node)
        wait_for(lambda: "sasl.failed" in old.read_text(), "a line in the old file, which is open still")
        node.reload()
        wait_for(lambda: log.exists() and "was reloaded" in log.read_text(), "the new file")
        before = old.read_text()
        fail_to_log_in(node)
        failed = json.loads(wait_for(lambda: [l for l in lines(log) if "sasl.failed" in l], "a line in the new file")[0])
        assert failed["level"] == "info" and failed["peer"] == "127.0.0.1" and failed["event"] == "sasl.failed"
        assert old.read_text() == before
        assert not node.log()
    finally:
        node.process.terminate()
        assert node.process.wait(20) == 0


def test_many_lines_of_one_event_are_few_and_others_are_not_touched(start_node):
    node = start_node(CONFIG + "[log]\nrate = 3\n")
    fail_to_log_in(node, 10)
    node.client("bob").drop()
    node.reload()
    node.wait_log("was reloaded")
    assert 1 <= node.log().count("[sasl.failed]") <= 6      # a new ten seconds may have begun meanwhile


@pytest.mark.parametrize("format_", ["text", "json"])
def test_no_body_and_no_password_is_in_the_most_detailed_log(start_node, format_):
    node = start_node(CONFIG.replace("alice:secret", "alice:sesame-open") + f"[log]\nlevel = debug\nformat = {format_}\nrate = 0\n"
                      "[rdbms]\n[offline]\n[presence]\n[roster]\n[sm]\n[private]\n")
    with node.client() as client:
        client.send(auth("PLAIN", "\0alice\0wrong-password"))
        client.until(END)
        assert "<success" in scram(client, "SCRAM-SHA-256", "alice", "sesame-open")
    with node.client("alice", "sesame-open") as alice:
        alice.presence("<status>status-words</status>")
        for to in "alice@localhost", "bob@localhost", "nobody@nowhere.example":
            alice.message(to, "body-words")
        alice.iq("set", "<query xmlns='jabber:iq:private'><x xmlns='y'>private-words</x></query>")
        alice.send("<message><body>half-words")
    bob = node.client("bob").presence()
    assert "body-words" in bob.stanza("^<message")
    bob.send("<broken-words></x>")
    bob.closed()
    node.stop()
    assert "c2s.end" in node.log()
    for words in "sesame-open", "wrong-password", "status-words", "body-words", "private-words", "half-words", "broken-words":
        assert words not in node.log(), words


# A /dev of its own with a socket for syslog, for this process alone.
DEV = """for f in null zero full random urandom; do touch "$0/$f" && mount --bind "/dev/$f" "$0/$f" || exit 1; done
mount --rbind "$0" /dev && exec "$@" """


@pytest.mark.parametrize("format_", ["text", "json"])
def test_syslog_gets_the_lines_with_their_levels(tmp_path, format_):
    dev = tmp_path / "dev"
    dev.mkdir()
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if subprocess.run([*own, "sh", "-c", DEV, dev, "true"], capture_output=True).returncode:
        pytest.skip("no /dev can be made here")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(dev / "log"))
        syslog.settimeout(20)
        node = Node(tmp_path / "node", CONFIG + f"[log]\ntarget = syslog\nformat = {format_}\n")
        node.start(wait=False, wrapper=(*own, "sh", "-c", DEV, str(dev)))
        got = []
        while not got or "is ready" not in got[-1]:
            got.append(syslog.recv(65536).decode())
        node.process.terminate()
        assert node.process.wait(20) == 0
    head = rf"<(\d+)>\w+ +\d+ [0-9:]+ meerkatd\[{node.process.pid}\]: "
    for line in got:
        assert re.match(head, line) and "\n" not in line, line
    # daemon.info is 30, daemon.warning 28.
    ready, warning = got[-1], next(line for line in got if "no certificate is configured" in line)
    assert ready.startswith("<30>") and warning.startswith("<28>")
    text = re.sub(head, "", ready)
    if format_ == "json":
        assert json.loads(text)["event"] == "server.ready"
    else:
        assert re.fullmatch(r"core: meerkatd [0-9.]+ is ready: .* \[server.ready\]", text)
    assert not node.log()


# -- a service manager

@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told_when_it_is_ready_reloads_and_stops(tmp_path, abstract):
    name = f"@meerkat-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0") if abstract else name)
        manager.settimeout(20)
        node = Node(tmp_path / "node", CONFIG).start(env={**os.environ, "NOTIFY_SOCKET": name})

        def told(pattern):
            while not re.match(pattern, text := manager.recv(4096).decode()):
                assert text.startswith("STATUS="), text
        told("READY=1")
        node.reload()
        told(r"RELOADING=1\nMONOTONIC_USEC=\d+")
        told("READY=1")
        node.stop()
        told("STOPPING=1")


def test_the_pid_file_has_the_process_number_while_it_runs_and_is_nobody_elses(tmp_path):
    path = tmp_path / "pid"
    node = Node(tmp_path / "node", CONFIG, args=["--set", f"meerkat.pid_file={path}"]).start()
    assert path.read_text() == f"{node.process.pid}\n"
    # One that does not start leaves the file of the one that runs alone.
    twin = Node(tmp_path / "twin", CONFIG.replace("127.0.0.1:0", f"127.0.0.1:{node.port()}"),
                args=["--set", f"meerkat.pid_file={path}"])
    twin.start(wait=False)
    assert twin.process.wait(20) == 1
    assert path.read_text() == f"{node.process.pid}\n"
    node.stop()
    assert not path.exists()


def limit(node, name):
    text = pathlib.Path(f"/proc/{node.process.pid}/limits").read_text()
    return re.search(rf"^{name} +(\S+) +(\S+)", text, re.M).groups()


def test_it_takes_as_many_descriptors_as_it_may(tmp_path):
    node = Node(tmp_path, CONFIG)
    node.start(wrapper=("prlimit", "--nofile=64:700"))
    assert limit(node, "Max open files") == ("700", "700")
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port())))
        with node.client("alice") as alice:
            alice.sync()
    node.stop()


@pytest.mark.parametrize("wanted", ["yes", "no"])
def test_core_files_are_left_if_they_are_wanted(tmp_path, wanted):
    node = Node(tmp_path, CONFIG, args=["--set", f"meerkat.core_dumps={wanted}"])
    node.start(wrapper=("prlimit", "--core=0:1000000"))
    assert limit(node, "Max core file size") == ("1000000" if wanted == "yes" else "0", "1000000")
    node.stop()


# -- privileges

def low_port():
    for port in range(1023, 600, -1):
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port
    return pytest.skip("no port below 1024 is free")


@pytest.fixture
def open_folder():
    """A folder that any user may look into."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="meerkat-user-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def identities(node):
    """(user, group) of every thread, real, effective, saved and of files."""
    found = set()
    for status in pathlib.Path(f"/proc/{node.process.pid}/task").glob("*/status"):
        text = status.read_text()
        found.add(tuple(tuple(re.search(rf"^{key}:\t(.*)$", text, re.M).group(1).split()) for key in ("Uid", "Gid")))
        assert re.search(r"^CapEff:\t0+$", text, re.M)
    return found


@as_root
def test_root_becomes_the_user_who_owns_all_that_is_written_and_ports_are_roots(open_folder):
    nobody = pwd.getpwnam("nobody")
    config = CONFIG.replace("127.0.0.1:0", f"127.0.0.1:{low_port()}").replace("control = {dir}/control.sock\n", "") + """
[log]
target = file
file = {dir}/own.log
[rdbms]
[auth_rdbms]
[register]
enabled = yes
[roster]
[presence]
[offline]
"""
    state, pid_file = open_folder / "state" / "deep", open_folder / "pid"
    state.parent.mkdir()
    node = Node(open_folder, config, kind="sqlite", args=[
        "--set", "meerkat.user=nobody", "--set", f"meerkat.state_dir={state}", "--set", f"meerkat.pid_file={pid_file}"])
    own = open_folder / "own.log"
    node.log = lambda: own.read_text() if own.exists() else ""
    for turn in range(2):
        with contextlib.suppress(FileNotFoundError):
            own.unlink()
        node.start()
        assert identities(node) == {((str(nobody.pw_uid),) * 4, (str(nobody.pw_gid),) * 4)}
        assert pid_file.read_text() == f"{node.process.pid}\n"
        with node.client() as client:
            answer = client.iq("set", "<query xmlns='jabber:iq:register'><username>user{}</username><password>secret</password>"
                               "</query>".replace("{}", str(turn)))
            assert "type='result'" in answer
        with node.client(f"user{turn}") as user:
            user.message("user0@localhost", "waits")
            user.sync()
        node.reload()
        node.wait_log("was reloaded")
        for path in (state, own, *state.iterdir()):
            assert path.stat().st_uid == nobody.pw_uid, path
        node.process.terminate()
        assert node.process.wait(20) == 0
        # The folder is root's: the file cannot go, and says nothing.
        assert pid_file.read_text() == ""
    assert own.read_text().count("cannot") == 0, own.read_text()


@as_root
@pytest.mark.parametrize("settings, message", [
    (["meerkat.user=no-such-user"], "[meerkat] 'user': there is no user 'no-such-user'"),
    (["meerkat.user=nobody", "meerkat.group=no-such-group"], "[meerkat] 'group': there is no group 'no-such-group'")])
def test_a_user_who_does_not_exist_is_told(tmp_path, settings, message):
    node = Node(tmp_path, CONFIG, args=[a for s in settings for a in ("--set", s)])
    node.start(wait=False)
    assert node.process.wait(20) == 1 and message in node.log()
