# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Modules come and go: what the loader refuses, in which order it starts, what it undoes, and what an administrator
may do to modules while people chat."""
import itertools
import os
import re
import subprocess
import threading

import pytest

from extra import compile_module, module_folder
from support import BUILD, Node, wait_for

CHAT = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[sasl]
[router]
[auth_memory]
accounts = alice:secret, bob:secret, carol:secret, dave:secret
"""


class Extra:
    """A module path to which tests add modules, and nodes on it."""

    def __init__(self, folder):
        self.folder = folder
        self.modules = module_folder(folder)
        self.nodes = []

    def add(self, name="t_life", source="t_life", **defines):
        compile_module(self.modules, source, name, **({"T_NAME": name, **defines}))

    def node(self, config, hosts="localhost"):
        node = Node(self.folder / str(len(self.nodes)), config, hosts,
                    ["--set", f"meerkat.module_path={self.modules}"])
        self.nodes.append(node)
        return node

    def check(self, config):
        """What --check says: its exit status and its text."""
        node = self.node(config)
        run = subprocess.run([BUILD / "meerkatd", "--check", "--config", node.ini, *node.args],
                             capture_output=True, text=True, timeout=20)
        return run.returncode, run.stderr.replace(str(node.folder) + "/", "")

    def fails(self, config):
        """A start that must fail: the log."""
        node = self.node(config).start(wait=False)
        assert node.process.wait(20) == 1, node.log()
        return node.log()


@pytest.fixture
def extra(tmp_path):
    extra = Extra(tmp_path)
    yield extra
    for node in extra.nodes:
        node.stop()


def steps(log, name="t_life"):
    return re.findall(rf"step (\w+) of {name} ", log)


def life(client):
    """What t_life answers, or None when nobody does."""
    answer = client.iq("get", "<life xmlns='test:life'/>", to=client.host)
    if "type='error'" in answer:
        return None
    return {k: v if k == "version" else int(v)
            for k, v in re.findall(r"(\w+)='([^']*)'", re.search("<life[^>]*>", answer).group(0))
            if k != "xmlns"}


# -- descriptors

@pytest.mark.parametrize("defines, why", [
    ({"T_MAJOR": 99}, r"was built for module interface 99\.0, this server has 1\.\d+: rebuild the module"),
    ({"T_MINOR": 9999}, r"was built for module interface 1\.9999, this server has 1\.\d+: rebuild"),
    ({"T_MAGIC": 1}, "is not a Meerkat module"),
    ({"T_NAME": "other"}, "calls itself 'other': the file's name must be the module's"),
    ({"T_DEFAULT": "many"}, "option 'number' has a wrong default: 'many' is not a whole number"),
    ({"T_DEFAULT": "11"}, "option 'number' has a wrong default: '11' is too large"),
])
def test_a_wrong_descriptor_is_refused_and_no_code_of_it_runs(extra, defines, why):
    extra.add(**defines)
    status, text = extra.check("[t_life]\n")
    assert status == 1
    assert re.search(rf"meerkat.ini:\d+: \[module:t_life\] '[^']*t_life.so' .*{why}", text), text
    assert not steps(extra.fails("[t_life]\n"))


def test_a_file_that_is_no_module_is_refused(extra):
    (extra.modules / "t_text.so").write_text("not a library")
    status, text = extra.check("[t_text]\n")
    assert status == 1 and re.search(r"\[module:t_text\] cannot load '[^']*t_text.so': ", text), text


def test_a_name_that_is_a_path_finds_nothing(extra):
    status, text = extra.check("[../modules/version]\n")
    assert status == 1 and "there is no module '../modules/version'" in text


# -- dependencies

def test_a_missing_dependency_is_named_with_who_needs_it(extra):
    extra.add("t_a", T_DEPENDS="t_nowhere")
    status, text = extra.check("[t_a]\n")
    assert status == 1
    assert re.search(r"meerkat.ini:\d+: module 't_a' needs 't_nowhere': there is no module", text), text


def test_a_dependency_that_is_not_configured_is_loaded_with_its_defaults(extra):
    extra.add("t_a", T_DEPENDS="t_b")
    extra.add("t_b", T_DEPENDS="t_c")
    extra.add("t_c")
    log = extra.node("[t_a]\n").start().log()
    assert re.findall(r"step (\w+) of t_(\w) ", log) == [
        ("init", "c"), ("init", "b"), ("init", "a"), ("start", "c"), ("start", "b"), ("start", "a")]


def test_modules_stop_in_the_opposite_order(extra):
    extra.add("t_a", T_DEPENDS="t_b")
    extra.add("t_b")
    node = extra.node("[t_a]\n").start()
    node.stop()
    assert re.findall(r"step (\w+) of t_(\w) ", node.log())[4:] == [
        ("stop", "a"), ("unload", "a"), ("stop", "b"), ("unload", "b")]


def test_after_orders_modules_and_does_not_load_them(extra):
    extra.add("t_a", T_AFTER="t_b")
    extra.add("t_b")
    assert re.findall(r"step init of (\w+) ", extra.node("[t_a]\n").start().log()) == ["t_a"]
    assert re.findall(r"step init of (\w+) ",
                      extra.node("[t_a]\n[t_b]\n").start().log()) == ["t_b", "t_a"]


def test_who_provides_a_service_starts_before_who_needs_it(extra):
    extra.add("t_a", T_DEPENDS="wanted")
    extra.add("t_b", T_PROVIDES="wanted")
    log = extra.node("[t_a]\n[t_b]\n").start().log()
    assert re.findall(r"step init of (\w+) ", log) == ["t_b", "t_a"]


def test_a_circle_of_dependencies_is_told_with_all_that_are_in_it(extra):
    extra.add("t_a", T_DEPENDS="t_b")
    extra.add("t_b", T_AFTER="t_c")
    extra.add("t_c", T_DEPENDS="t_a")
    status, text = extra.check("[t_a]\n[t_b]\n[t_c]\n")
    assert status == 1
    assert re.search(r"meerkat.ini:\d+: modules wait for each other in a circle: 't_a' needs or follows 't_b' "
                     r"needs or follows 't_c' needs or follows 't_a'", text), text
    assert not steps(extra.fails("[t_a]\n[t_b]\n[t_c]\n"), r"\w+")


# -- starting

def test_an_error_in_the_options_of_one_module_keeps_all_from_starting(extra):
    extra.add("t_a")
    extra.add("t_z")
    log = extra.fails("[t_a]\n[t_z]\nnumber = 11\n")
    assert "[module:t_z] 'number': '11' is too large" in log
    assert not steps(log, r"\w+")


@pytest.mark.parametrize("step, undone", [
    ("init", ["init", "unload"]), ("start", ["init", "start", "stop", "unload"])])
def test_a_failed_start_is_undone_and_says_why(extra, step, undone):
    extra.add("t_a")
    extra.add("t_b", T_FAIL=step, T_DEPENDS="t_a")
    log = extra.fails("[t_a]\n[t_b]\n" + CHAT)
    assert re.search(rf"error core: module 't_b' cannot start: it was told to fail in {step} ", log)
    assert steps(log, "t_b") == undone
    assert steps(log, "t_a")[-1] == "unload"


# -- at run time

def test_a_module_that_fails_to_load_leaves_no_trace(extra):
    extra.add(T_FAIL="start")
    node = extra.node(CHAT).start()
    with node.client("alice") as alice, node.client("bob") as bob:
        answer = node.control("module", "load", "t_life")
        assert answer == "error: module 't_life' cannot start: it was told to fail in start\n"
        assert steps(node.log()) == ["init", "start", "stop", "unload"]
        assert "t_life" not in node.control("hooks") + node.control("status")
        assert "life_messages" not in node.control("metrics")
        assert life(alice) is None
        alice.message(bob.jid, "hello")
        assert "hello" in bob.stanza("<message")
        extra.add(T_VERSION="2")
        assert node.control("module", "load", "t_life") == "ok\n"
        assert life(alice)["version"] == "2"


def test_a_module_loaded_at_run_time_brings_what_it_needs_in_order(extra):
    extra.add("t_a", T_DEPENDS="t_c")
    extra.add("t_b", T_DEPENDS="t_c")
    extra.add("t_c")
    extra.add("t_top", T_DEPENDS="t_b", T_AFTER="t_a", T_USES="service_t_b")
    node = extra.node(CHAT).start()
    assert node.control("module", "load", "t_top") == "ok\n"
    assert re.findall(r"step (\w+) of t_(\w+) ", node.log()) == [
        (step, name) for step in ("init", "start") for name in ("c", "b", "top")]
    assert "needed by 't_top'" in node.control("module", "unload", "t_b")
    assert "needed by 't_b'" in node.control("module", "reload", "t_c")
    assert node.control("module", "unload", "t_top") == "ok\n"
    assert node.control("module", "unload", "t_b") == "ok\n"


def test_loading_refuses_with_a_reason(extra):
    extra.add("t_bad", T_MAJOR=99)
    extra.add("t_life")
    extra.add("t_lost", T_DEPENDS="t_nowhere")
    extra.add("t_round", T_AFTER="t_life", T_PROVIDES="late")
    node = extra.node(CHAT + "[t_life]\n").start()
    assert "is loaded already" in node.control("module", "load", "t_life")
    assert "module interface 99.0" in node.control("module", "load", "t_bad")
    assert "there is no module 't_non'" in node.control("module", "load", "t_non")
    assert "needs 't_nowhere'" in node.control("module", "load", "t_lost")
    assert "is not loaded" in node.control("module", "unload", "t_bad")
    assert "is not loaded" in node.control("module", "reload", "t_bad")
    assert "is needed by" in node.control("module", "unload", "router")
    assert "is not load, unload or reload" in node.control("module", "eat", "t_life")
    assert node.control("status").count("t_") == 1


def test_reload_takes_the_new_file_and_the_new_options(extra):
    extra.add(T_VERSION="1")
    node = extra.node(CHAT + "[t_life]\nfixed = 7\n").start()
    with node.client("alice") as alice:
        alice.message("bob@localhost", "one")
        assert life(alice) | {"ticks": 0} == {"version": "1", "number": 5, "fixed": 7, "messages": 1, "ticks": 0}
        extra.add(T_VERSION="2")
        node.configure(CHAT + "[t_life]\nfixed = 8\n")
        assert node.control("module", "reload", "t_life") == "ok\n"
        alice.message("bob@localhost", "two")
        assert life(alice) | {"ticks": 0} == {"version": "2", "number": 5, "fixed": 8, "messages": 1, "ticks": 0}
        # The metric goes on where it was; timers run again, once.
        assert re.search(r"^life_messages_total 2$", node.control("metrics"), re.M)
        wait_for(lambda: life(alice)["ticks"] > 2, "timers of the new module")


def test_a_module_keeps_its_place_in_the_hooks_when_it_is_reloaded(extra):
    extra.add("t_a")
    extra.add("t_b")
    node = extra.node(CHAT + "[t_a]\n[t_b]\n").start()

    def order():
        return re.findall(r"^user_send_message\t0\t(t_\w)\t", node.control("hooks"), re.M)
    assert order() == ["t_a", "t_b"]
    assert node.control("module", "reload", "t_a") == "ok\n"
    assert order() == ["t_a", "t_b"]


@pytest.mark.parametrize("defines, why", [
    ({"T_MAJOR": 99}, "module interface 99.0"), ({"T_DEPENDS": "t_nowhere"}, "needs 't_nowhere'"),
    ({"T_AFTER": "t_last"}, "wait for each other in a circle")])
def test_a_reload_that_cannot_be_leaves_the_old_module_running(extra, defines, why):
    extra.add(T_VERSION="1")
    extra.add("t_last", T_AFTER="t_life")
    node = extra.node(CHAT + "[t_life]\n[t_last]\n").start()
    with node.client("alice") as alice:
        extra.add(T_VERSION="2", **defines)
        assert why in node.control("module", "reload", "t_life")
        assert life(alice)["version"] == "1"
        assert "stop" not in steps(node.log())


def test_a_reload_with_bad_options_leaves_the_old_module_running(extra):
    extra.add()
    node = extra.node(CHAT + "[t_life]\n").start()
    with node.client("alice") as alice:
        node.configure(CHAT + "[t_life]\nnumber = 11\n")
        assert re.search(r"meerkat.ini:\d+: .*'11' is too large", node.control("module", "reload", "t_life"))
        assert life(alice)["number"] == 5
        assert "stop" not in steps(node.log())


@pytest.mark.parametrize("step", ["init", "start"])
def test_when_the_new_code_does_not_start_the_old_one_comes_back(extra, step):
    extra.add(T_VERSION="1")
    extra.add("t_need")
    node = extra.node(CHAT + "[t_life]\n").start()
    with node.client("alice") as alice:
        extra.add(T_VERSION="2", T_FAIL=step, T_DEPENDS="t_need")
        answer = node.control("module", "reload", "t_life")
        assert answer == (f"error: module 't_life' cannot start: it was told to fail in {step}; the old "
                          "one runs again\n")
        assert life(alice)["version"] == "1"
        assert "t_need" not in node.control("status")
        # And it is a module like any other still.
        extra.add(T_VERSION="3")
        assert node.control("module", "reload", "t_life") == "ok\n"
        assert life(alice)["version"] == "3"


def test_the_file_of_a_running_module_may_be_overwritten_in_place(extra):
    extra.add()
    node = extra.node(CHAT + "[t_life]\n").start()
    with node.client("alice") as alice:
        (extra.modules / "t_life.so").write_bytes(b"\0" * 100000)
        assert life(alice)["version"] == "1"
        assert "error" in node.control("module", "reload", "t_life")
        assert life(alice)["version"] == "1"


def test_unloading_waits_for_work_that_ends_and_loses_nothing(extra):
    extra.add("t_slow", "t_slow")
    node = extra.node(CHAT + "[t_slow]\ngate = gate\n").start()
    with node.client("alice") as alice, node.client("bob") as bob:
        alice.message(bob.jid, "held", more="<slow xmlns='test'/>")
        alice.message(bob.jid, "behind")
        alice.sync()
        answers = []
        unload = threading.Thread(target=lambda: answers.append(node.control("module", "unload", "t_slow")))
        unload.start()
        node.wait_log("told to stop")
        bob.nothing("<message")
        assert not answers
        (node.folder / "gate").touch()
        assert "held" in bob.stanza("<message")
        assert "behind" in bob.stanza("<message")
        unload.join(20)
        assert answers == ["ok\n"]


def test_a_module_with_work_under_way_is_left_stopped_and_its_memory_stays(extra):
    extra.add("t_hold", "t_hold")
    node = extra.node(CHAT.replace("control =", "stop_timeout = 200ms\ncontrol =") + "[t_hold]\n")
    # Its memory is left behind on purpose.
    node.start(env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    with node.client("alice") as alice, node.client("bob") as bob:
        alice.message(bob.bare, "waits", more="<hold xmlns='test'/>")
        alice.sync()
        for _ in range(2):
            assert node.control("module", "unload", "t_hold") == (
                "error: module 't_hold' has stopped, but 1 things are still under way in it: unload it "
                "again later\n")
        assert "still under way" in node.control("module", "reload", "t_hold")
        assert "is still stopping" in node.control("module", "load", "t_hold")
        assert re.search(r"module\tt_hold\t1.0\tstopping", node.control("status"))
        assert "t_hold" not in node.control("hooks")
        with node.client("carol") as carol:
            alice.message(carol.jid, "goes by")
            assert "goes by" in carol.stanza("<message")
    # The server stops all the same, and says what it left.
    node.stop()
    assert "module 't_hold' still has 1 things under way" in node.log()


# -- under load

class Pair(threading.Thread):
    """Two clients who chat without a pause: numbered messages to and fro, a few under way at once."""

    WINDOW = 20

    def __init__(self, node, one, other):
        super().__init__()
        self.ends = [node.client(one).presence(), node.client(other).presence()]
        self.goes_on = True
        self.count = 0
        self.problem = None
        self.start()

    def round(self):
        one, other = self.ends
        for sender, receiver in ((one, other), (other, one)):
            for n in range(self.WINDOW):
                sender.message(receiver.jid, f"n{self.count + n}")
        for receiver in (other, one):
            for n in range(self.WINDOW):
                stanza = receiver.stanza("^<message")
                assert f"<body>n{self.count + n}</body>" in stanza, f"n{self.count + n} is lost: {stanza}"
        self.count += self.WINDOW

    def run(self):
        try:
            while self.goes_on:
                self.round()
            for client in self.ends:
                client.nothing("<message")
        except (AssertionError, OSError) as problem:
            self.problem = problem

    def end(self):
        self.goes_on = False
        self.join(30)
        for client in self.ends:
            client.drop()
        assert self.problem is None, self.problem
        return self.count


def while_they_chat(node, work, rounds):
    """Does the work so often while two pairs chat; no message may be lost, doubled or overtaken."""
    pairs = [Pair(node, "alice", "bob"), Pair(node, "carol", "dave")]
    try:
        for _ in range(rounds):
            before = [p.count for p in pairs]
            work()
            wait_for(lambda: all(p.count > n or p.problem for p, n in zip(pairs, before)), "chat to go on")
    finally:
        counts = [p.end() for p in pairs]
    assert all(counts)


def test_no_message_is_lost_while_a_module_comes_and_goes(extra):
    extra.add()
    node = extra.node(CHAT + "[log]\nrate = 0\n").start()

    words = itertools.cycle(["load", "reload", "reload", "unload"])

    def come_and_go():
        assert node.control("module", next(words), "t_life") == "ok\n"
    while_they_chat(node, come_and_go, 60)
    assert steps(node.log()).count("unload") == 45
    # It really stood in the way of the messages.
    assert node.control("module", "load", "t_life") == "ok\n"
    assert int(re.search(r"life_messages_total (\d+)", node.control("metrics")).group(1)) > 100


@pytest.mark.parametrize("name", ["carbons", "csi", "disco", "last", "offline", "ping", "private", "sm", "vcard", "version"])
def test_no_message_is_lost_while_our_own_modules_are_reloaded(node_of_all, name):
    node = node_of_all
    loaded = re.findall(r"^module\t(\w+)", node.control("status"), re.M)
    assert name in loaded

    def again():
        answer = node.control("module", "reload", name)
        assert answer == "ok\n", answer
    while_they_chat(node, again, 4)
    assert re.findall(r"^module\t(\w+)", node.control("status"), re.M) == loaded


@pytest.fixture(scope="module")
def node_of_all(tmp_path_factory):
    """A node with the modules of a small server."""
    names = "roster presence offline sm carbons csi disco ping version time last vcard private register"
    node = Node(tmp_path_factory.mktemp("all"), CHAT + "[rdbms]\n" + "".join(f"[{n}]\n" for n in names.split()))
    node.start()
    yield node
    node.stop()


@pytest.mark.parametrize("name", ["carbons", "csi", "disco", "last", "offline", "ping", "private", "sm", "vcard", "register"])
def test_a_module_can_be_reloaded_any_number_of_times(node_of_all, name):
    node = node_of_all
    hooks = node.control("hooks").splitlines()
    for _ in range(20):
        assert node.control("module", "reload", name) == "ok\n"
    assert sorted(node.control("hooks").splitlines()) == sorted(hooks)
    with node.client("alice") as alice, node.client("bob") as bob:
        alice.message(bob.bare, f"for later {name}")
        alice.sync()
        bob.presence()
        assert f"for later {name}" in bob.stanza("<message")


def test_no_message_is_lost_while_the_configuration_is_reloaded(extra):
    extra.add()
    node = extra.node(CHAT + "[t_life]\nnumber = 1\n").start()
    numbers = iter(range(1000))

    def reload():
        node.configure(CHAT + f"[t_life]\nnumber = {next(numbers) % 10 + 1}\n")
        assert node.control("reload") == "ok\n"
    while_they_chat(node, reload, 25)
    assert steps(node.log()).count("reloaded") == 25
