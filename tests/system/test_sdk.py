# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What a third party does: install Meerkat, build a module outside of its tree, test it, load it into a live node."""
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest

from support import BUILD, Node, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = """
[meerkat]
control = {dir}/control
[c2s]
listen = 127.0.0.1:0
[sasl]
[auth_memory]
accounts = alice:secret, bob:secret
[rdbms]
[roster]
[presence]
"""


class Prefix:
    """An installation, and how programs find it."""

    def __init__(self, folder):
        self.path = folder
        subprocess.run(["make", "-s", "-C", BUILD, "install", f"prefix={folder}"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.modules = folder / "lib" / "meerkat"
        tools = folder / "tools"
        tools.mkdir()
        # The installation was moved, which pkg-config has to be told.
        (tools / "pkg-config").write_text(
            f"#!/bin/sh\nexec /usr/bin/pkg-config --define-variable=prefix={folder} \"$@\"\n")
        (tools / "pkg-config").chmod(0o755)
        self.env = {**os.environ, "PATH": f"{tools}:{folder}/bin:{os.environ['PATH']}",
                    "PKG_CONFIG_PATH": str(folder / "lib" / "pkgconfig")}

    def run(self, *command, cwd):
        done = subprocess.run(command, cwd=cwd, env=self.env, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    return Prefix(tmp_path_factory.mktemp("prefix"))


@pytest.fixture
def build(prefix, tmp_path):
    """build("sdk/template"): a copy of the folder, built outside of our tree."""
    def make(source):
        folder = tmp_path / pathlib.Path(source).name
        shutil.copytree(ROOT / source, folder)
        prefix.run("make", cwd=folder)
        return folder
    return make


@pytest.mark.parametrize("source", ["sdk/template", "sdk/examples/ping_example",
                                    "sdk/examples/filter_example", "sdk/examples/wordcount"])
def test_what_is_shipped_builds_out_of_tree_and_its_dialogue_goes_as_written(prefix, build, source):
    folder = build(source)
    assert "ok" in prefix.run("make", "check", cwd=folder)
    prefix.run("make", "install", cwd=folder)
    assert (prefix.modules / f"{folder.name}.so").exists()


def test_a_dialogue_that_goes_wrong_is_shown(prefix, build):
    folder = build("sdk/examples/ping_example")
    (folder / "wrong.dialogue").write_text(
        "config:\n    [ping_example]\nalice connects\n"
        "alice sends: <iq type='get' id='p' to='localhost'><ping xmlns='urn:example:ping'/></iq>\n"
        "alice receives nothing\n")
    done = subprocess.run(["meerkat-dialogue", "--modules", ".", "wrong.dialogue"], cwd=folder, env=prefix.env,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "FAIL wrong.dialogue:5: alice should have got nothing" in done.stdout and "<pong" in done.stdout


def test_the_guide_can_be_followed_word_by_word(prefix, tmp_path):
    text = (ROOT / "docs" / "sdk" / "first-module.md").read_text()
    steps = re.findall(r"```(sh|c \S+|text \S+)\n(.*?)```", text, re.S)
    assert [kind.split()[0] for kind, _ in steps] == ["c", "sh", "text", "sh", "sh"]
    for kind, body in steps:
        if kind == "sh":
            prefix.run("sh", "-ec", body, cwd=tmp_path)
        else:
            (tmp_path / kind.split()[1]).write_text(body)
    assert (prefix.modules / "hello.so").exists()


class Chat:
    """Numbered messages from one client to another, from a thread, until it is stopped."""

    def __init__(self, sender, receiver):
        self.sender, self.receiver = sender, receiver
        self.sent = 0
        self.going = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while self.going:
            self.sender.message(self.receiver.jid, f"number {self.sent}.")
            text = self.receiver.until(f"number {self.sent}\\.")
            assert "type='error'" not in text
            self.sent += 1

    def stop(self):
        self.going = False
        self.thread.join(30)
        assert not self.thread.is_alive()


def test_modules_come_and_go_while_people_talk_and_no_message_is_lost(prefix, build, tmp_path):
    modules = tmp_path / "modules"
    modules.mkdir()
    for so in prefix.modules.glob("*.so"):
        (modules / so.name).symlink_to(so)
    for source in ("sdk/template", "sdk/examples/filter_example", "sdk/examples/wordcount"):
        folder = build(source)
        link = modules / f"{folder.name}.so"
        link.unlink(missing_ok=True)
        link.symlink_to(folder / f"{folder.name}.so")
    node = Node(tmp_path / "node", CONFIG, kind="sqlite", args=["--set", f"meerkat.module_path={modules}"]).start()
    alice, bob = node.client("alice"), node.client("bob")
    alice.presence(), alice.sync(), bob.presence(), bob.sync()
    chats = [Chat(alice, bob)]
    try:
        for _ in range(10):
            for name in ("template", "filter_example", "wordcount"):
                for what in ("load", "reload", "unload"):
                    assert node.control("module", what, name).endswith("ok\n"), node.log()[-2000:]
            mark = chats[0].sent
            wait_for(lambda: chats[0].sent > mark, "the next message")
    finally:
        for chat in chats:
            chat.stop()
    assert chats[0].sent >= 10
    alice.drop(), bob.drop()
    node.stop()
