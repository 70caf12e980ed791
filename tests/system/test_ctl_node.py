# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""meerkatctl on a real node: what its commands say is seen to be so over XMPP."""
import json
import re
import signal
import subprocess

import pytest

from support import BUILD, PATIENCE, wait_for

OK, ERROR, USAGE, UNREACHABLE = 0, 1, 2, 3

CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
driver = sqlite
[auth_rdbms]
iterations = 4096
[router]
[roster]
[presence]
[offline]
[last]
[private]
[vcard]
[ping]
[http]
listen = 127.0.0.1:0
[graphql]
admin_listen = 127.0.0.1:0
admin_password = rhubarb-5
user_listen = 127.0.0.1:0
[admin]
"""


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def value(self):
        """What the command gave: the data below category and command."""
        assert self.code == OK, self.out + self.err
        (category,) = json.loads(self.out)["data"].values()
        (value,) = category.values()
        return value


def run(*words, env=None, **more):
    return Result(subprocess.run([BUILD / "meerkatctl", *map(str, words)], env=env or {}, text=True, capture_output=True,
                                 timeout=PATIENCE * 4, **more))


@pytest.fixture
def ctl(node):
    return lambda *words, **more: run("--socket", node.folder / "api.sock", *words, **more)


@pytest.fixture(scope="module")
def accounts(node):
    for name in ("alice", "bob"):
        run("--socket", node.folder / "api.sock", "account", "registerUser", "--domain", "localhost", "--username", name,
            "--password", "secret")


def test_a_registered_user_can_log_in(node, ctl):
    result = ctl("account", "registerUser", "--domain", "localhost", "--username", "carol", "--password", "turnip-7")
    assert result.value()["jid"] == "carol@localhost"
    assert node.client("carol", "turnip-7").jid == "carol@localhost/test"
    again = ctl("account", "registerUser", "--domain", "localhost", "--username", "carol", "--password", "turnip-7")
    assert again.code == ERROR and again.err.endswith("(exists)\n")
    assert json.loads(again.out)["errors"][0]["extensions"]["code"] == "exists"
    assert "turnip-7" not in node.log()


def test_a_container_without_configuration(node, tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    for env in ({"MEERKAT__STATE_DIR": str(node.folder)}, {"MEERKAT_SOCKET": str(node.folder / "api.sock")}):
        status = run("status", env=env, cwd=folder)
        assert status.code == OK and re.search(r"^statusCode +RUNNING$", status.out, re.M)
    assert list(folder.iterdir()) == []


def test_sessions_are_listed_and_kicked(node, ctl, accounts):
    client = node.client("alice", resource="über")
    table = ctl("session", "listUserSessions", "--user", "alice@localhost", "--output", "table").out.splitlines()
    assert table[0].split()[:2] == ["user", "connection"] and table[1].startswith("alice@localhost/über ")
    kicked = ctl("session", "kickUser", "--user", "alice@localhost", "--reason", "maintenance")
    assert kicked.value()[0]["kicked"] is True
    assert "maintenance" in client.closed()
    assert ctl("session", "countUserResources", "--user", "alice@localhost").value() == 0


def test_lists_and_input_objects_arrive(ctl, accounts):
    contacts = [{"jid": "bob@localhost", "name": "Bob ❤", "groups": ["friends"]}]
    assert ctl("roster", "addContacts", "--user", "alice@localhost", "--contacts", json.dumps(contacts)).code == OK
    contact, = ctl("roster", "listContacts", "--user", "alice@localhost").value()
    assert (contact["name"], contact["groups"]) == ("Bob ❤", ["friends"])


def test_a_password_may_come_from_standard_input(node, ctl, accounts):
    changed = ctl("account", "changeUserPassword", "--user", "bob@localhost", "--newPassword-file", "-", input="p4r snip\n")
    assert changed.code == OK
    node.client("bob", "p4r snip").close()
    assert ctl("account", "changeUserPassword", "--user", "bob@localhost", "--newPassword", "secret").code == OK


def test_messages_of_a_subscription_come_one_a_line(node, ctl, accounts):
    process = subprocess.Popen([BUILD / "meerkatctl", "--socket", node.folder / "api.sock", "stanza", "subscribeForMessages",
                                "--caller", "bob@localhost"], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: ctl("session", "countUserResources", "--user", "bob@localhost").value() == 1, "the subscription")
    for number in ("one", "two"):
        sent = ctl("stanza", "sendMessage", "--from", "alice@localhost", "--to", "bob@localhost", "--body", number)
        assert sent.code == OK
        event = json.loads(process.stdout.readline())["data"]["stanza"]["subscribeForMessages"]
        assert event["sender"].startswith("alice@localhost") and f"<body>{number}</body>" in event["stanza"]
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == OK
    process.stdout.close()
    wait_for(lambda: ctl("session", "countUserResources", "--user", "bob@localhost").value() == 0, "its end")


def test_a_remote_node_wants_the_credentials(node):
    url = f"http://127.0.0.1:{node.port('graphql_admin')}"
    env = {"MEERKAT_USER": "admin", "MEERKAT_PASSWORD": "rhubarb-5"}
    assert run("--url", url, "session", "countSessions", env=env).code == OK
    env["MEERKAT_PASSWORD"] = "rhubarb-6"
    wrong = run("--url", url, "session", "countSessions", env=env)
    assert wrong.code == ERROR and "rhubarb" not in wrong.out + wrong.err
    anonymous = run("--url", url, "session", "countSessions")
    assert anonymous.code == ERROR and "no_permissions" in anonymous.err
    assert run("--url", url).code == USAGE                          # help needs none
    assert "rhubarb" not in node.log()


# -- every command there is

def everything(ctl):
    """(category, command, {argument: type}) of the whole schema, by help alone."""
    general = ctl().out
    names = re.search(r"Categories:\n(.*?)\n\n", general, re.S).group(1)
    for category in re.findall(r"^  (\w+)", names, re.M):
        commands = re.search(r"Commands:\n(.*?)\n\n", ctl(category).out, re.S).group(1)
        for command in re.findall(r"^  (\w+)", commands, re.M):
            text = ctl(category, command, "--help").out
            yield category, command, dict(re.findall(r"^  --(\w+) +(\S+)", text, re.M)), text


VALUES = {"JID": "nobody@localhost/x", "BareJID": "nobody@localhost", "FullJID": "nobody@localhost/x", "DomainName": "localhost",
          "DateTime": "2001-01-01T00:00:00Z", "PosInt": "1", "NonNegInt": "1", "Int": "1", "Boolean": "true", "UserName": "nobody",
          "XmlElement": "<message to='nobody@localhost' from='nobody@localhost'/>", "LogLevel": "INFO", "SubAction": "INVITE",
          "MutualSubAction": "CONNECT", "PresenceType": "AVAILABLE", "PresenceShow": "AWAY",
          "VcardInput": '{"formattedName": "N", "nameComponents": {"family": "N"}}',
          "ContactInput": '{"jid": "nobody@localhost", "name": "N"}', "[ContactInput]": '[{"jid": "nobody@localhost", "name": "N"}]'}


def value_for(type_):
    bare = type_.replace("!", "")
    return VALUES.get(bare, '["x@localhost"]' if bare[0] == "[" else "x")


def test_every_command_has_help_and_makes_a_document_that_the_server_accepts(ctl):
    seen = set()
    for category, command, arguments, text in everything(ctl):
        seen.add(category)
        assert text.startswith(f"Usage: meerkatctl {category} {command}"), text
        if category in ("server", "module", "config") and "(mutation)" in text or "(subscription)" in text:
            continue                                                # they would work
        words = [w for name, type_ in arguments.items() for w in (f"--{name}", value_for(type_))]
        result = ctl(category, command, *words)
        assert result.code in (OK, ERROR), f"{category} {command}: {result.err}"
        answer = json.loads(result.out)
        # A refused document has no data; an error of the command itself has its path.
        assert "data" in answer, f"{category} {command}: {result.out}"
    assert {"account", "session", "stanza", "server", "module", "config", "log", "metric", "stat", "roster"} <= seen


# -- the node's life; last, for it ends

def test_reload_tells_what_is_wrong(node, ctl):
    good = node.ini.read_text()
    assert ctl("reload").code == OK
    node.ini.write_text(good + "\n[ping]\n")                        # twice
    bad = ctl("reload")
    assert bad.code == ERROR and "meerkat.ini" in bad.err
    checked = ctl("config", "check").value()
    assert checked["ok"] is False and checked["errors"]
    node.ini.write_text(good)
    assert ctl("config", "check").value() == {"ok": True, "errors": []}


def test_stop_and_started(node, ctl):
    assert ctl("started", "--wait", "0").code == OK
    assert ctl("stop").code == OK
    assert ctl("stopped", "--wait", "60").code == OK
    assert node.process.wait(PATIENCE) == 0
    assert ctl("status").code == UNREACHABLE
    node.start(wait=False)
    assert ctl("started").code == OK
    assert ctl("session", "countSessions").value() == 0
