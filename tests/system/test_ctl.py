# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""meerkatctl: its commands come from the schema, its exit status is a promise. Against a stand-in on graphql-js, whose schema
has every shape there is."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from support import BUILD, PATIENCE, wait_for

HERE = pathlib.Path(__file__).parent / "graphql"
OK, ERROR, USAGE, UNREACHABLE = 0, 1, 2, 3


class Fake:
    """The stand-in. `where` is a path of a socket or "0" for a port; what it was asked goes to a file in `folder`."""

    def __init__(self, folder, where, *options):
        env = dict(os.environ, NODE_PATH="/usr/share/nodejs:/usr/lib/nodejs")
        self.asked = pathlib.Path(folder) / "requests"
        with open(self.asked, "w") as out:
            self.process = subprocess.Popen(["node", HERE / "fake.js", where, *options], env=env, stdout=out, stderr=out)
        self.seen = 0
        wait_for(lambda: "\n" in self.asked.read_text() or self.process.poll() is not None, "the stand-in", 60)
        ready, self.at = self.asked.read_text().split()[:2]
        assert ready == "ready", self.asked.read_text()

    def requests(self):
        """What was asked since the last call."""
        lines = self.asked.read_text().splitlines()[1:]
        new, self.seen = lines[self.seen:], len(lines)
        return [json.loads(line) for line in new]

    def stop(self):
        self.process.kill()
        self.process.wait()


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)


def run(*words, env=None, stdin="", cwd=None):
    """meerkatctl in an empty environment but for `env`, as in a container."""
    return Result(subprocess.run([BUILD / "meerkatctl", *words], env=env or {}, input=stdin, cwd=cwd, text=True,
                                 capture_output=True, timeout=PATIENCE * 4))


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fake")
    server = Fake(folder, folder / "api.sock")
    yield server
    server.stop()


@pytest.fixture
def ctl(fake):
    return lambda *words, **more: run("--socket", fake.at, *words, **more)


# -- help

def test_help_without_a_word_is_general_and_status_2(ctl):
    result = ctl()
    assert result.code == USAGE and result.err == ""
    assert re.search(r"^  account +Accounts of users$", result.out, re.M)
    assert re.search(r"^  graphql +", result.out, re.M) and "checkAuth" not in result.out
    asked = ctl("--help")
    assert (asked.code, asked.out) == (OK, result.out)


def test_help_at_every_level(ctl):
    category = ctl("account")
    assert category.code == OK
    assert re.search(r"^  registerUser +Makes an account\.$", category.out, re.M)
    assert "listUsers" in category.out and "countUsers" in category.out     # queries beside mutations
    for words in (("account", "registerUser", "--help"), ("--help", "account", "registerUser"),
                  ("help", "account", "registerUser"), ("account", "registerUser", "--domain", "x", "-h")):
        command = ctl(*words)
        assert command.code == OK
        assert re.search(r"--domain +DomainName!$", command.out, re.M)
        assert re.search(r"--username +UserName$\n +The part before the @", command.out, re.M)
        assert "The name is made up where none is given." in command.out
        assert "UserPayload" in command.out
    for words in (("started", "--help"), ("graphql", "-h"), ("completion", "--help")):
        assert ctl(*words).code == OK and words[0] in ctl(*words).out


def test_help_names_enums_and_input_objects(ctl):
    text = ctl("odd", "echo", "--help").out
    assert "one of NONE, ERROR, WARNING, INFO, DEBUG" in text
    assert '"key": String!' in text and "Int! = 7" in text


def test_help_fits_the_terminal(fake):
    for columns in ("50", "70"):
        text = run("--socket", fake.at, "odd", "echo", "--help", env={"COLUMNS": columns}).out
        assert max(map(len, text.splitlines())) <= int(columns)


def test_general_help_works_without_a_node(tmp_path):
    result = run("--socket", str(tmp_path / "none"))
    assert result.code == USAGE and "started" in result.out and "none answers" in result.out


# -- commands

def test_a_command_prints_the_response_as_mongooseim_does(ctl):
    result = ctl("account", "registerUser", "--domain", "localhost", "--username", "alice", "--password", "secret")
    assert (result.code, result.err) == (OK, "")
    assert result.out == """{
  "data" : {
    "account" : {
      "registerUser" : {
        "jid" : "alice@localhost",
        "message" : "User alice@localhost successfully registered"
      }
    }
  }
}
"""


def test_values_are_sent_as_variables_never_in_the_document(ctl, fake):
    fake.requests()
    evil = 'x") { jid } } } #\\ \u00e4 \n"'
    assert ctl("account", "registerUser", "--domain", "d", f"--password={evil}", "--username", "--dashes").code == OK
    sent = json.loads(fake.requests()[-1]["body"])
    assert sent["variables"] == {"domain": "d", "username": "--dashes", "password": evil}
    assert sent["query"] == ("mutation($domain: DomainName!, $username: UserName, $password: String!) { account { registerUser("
                             "domain: $domain, password: $password, username: $username) { jid message } } }")


def test_an_error_of_the_server_is_status_1_json_on_stdout_and_a_line_on_stderr(ctl):
    result = ctl("account", "registerUser", "--domain", "d", "--username", "taken", "--password", "p")
    assert result.code == ERROR
    assert result.json["errors"][0]["extensions"]["code"] == "exists"
    assert result.err == "meerkatctl: account.registerUser: User taken@d already registered (exists)\n"
    part = ctl("odd", "partly")
    assert part.code == ERROR and part.json["data"]["odd"]["partly"] == ["good", None]
    assert "odd.partly[1]: bad one (item)" in part.err


@pytest.mark.parametrize("words, text", [
    (("acount", "listUsers"), "Unknown category 'acount'; did you mean 'account'?"),
    (("inbox", "flush"), "Unknown category 'inbox': this node has it not, or its module is not loaded"),
    (("statsu",), "Unknown category 'statsu'; did you mean 'status'?"),
    (("account", "registeruser"), "Unknown command 'registeruser'; did you mean 'registerUser'?"),
    (("account", "zzzzzz"), "Unknown command 'zzzzzz'"),
    (("account", "listUsers", "--domian", "x"), "Unknown argument 'domian' for command 'listUsers'; did you mean 'domain'?"),
    (("account", "registerUser"), "Missing mandatory arguments for command 'registerUser': 'domain', 'password'"),
    (("account", "listUsers", "--domain"), "Could not parse the command arguments: '--domain' needs a value"),
    (("account", "listUsers", "localhost"), "Could not parse the command arguments: 'localhost'"),
    (("account", "listUsers", "--domain", "a", "--domain", "b"), "given twice"),
    (("account", "listUsers", "-d", "a"), "there is no option '-d'"),
    (("--sokcet", "x", "account"), "there is no option '--sokcet'; did you mean '--socket'?"),
    (("--output", "yaml", "account"), "--output is json, table or raw"),
    (("--timeout", "soon", "account"), "--timeout is a number of seconds"),
    (("account", "listUsers", "--domain", "x", "--output", "yaml"), "--output is json, table or raw"),
    (("ping", "pong"), "Could not parse the command arguments"),
    (("started", "--wiat", "3"), "did you mean 'wait'?"),
    (("started", "--wait", "-3"), "--wait is a number of seconds"),
    (("graphql",), "graphql needs a document"),
    (("graphql", "{a}", "--variables", "[1]"), "--variables is a JSON object"),
    (("completion", "tcsh"), "bash, zsh or fish"),
    (("--url", "http://x:1", "ping"), "exclude each other"),
])
def test_wrong_usage_is_status_2_and_says_what_to_do(ctl, words, text):
    result = ctl(*words)
    assert result.code == USAGE and result.out == "", result.out + result.err
    assert text in result.err


@pytest.mark.parametrize("argument, value, text", [
    ("int", "1.5", "a whole number is needed"),
    ("int", "9007199254740993", "a whole number is needed"),
    ("int", "", "a whole number is needed"),
    ("posInt", "0", "above 0"),
    ("nonNegInt", "-1", "0 or above"),
    ("float", "1e999", "a number is needed"),
    ("bool", "yes", "true or false"),
    ("level", "info", "did you mean 'INFO'?"),
    ("level", "zzzzzzzzz", "it is one of NONE, ERROR"),
    ("list", "friends", "this is not JSON"),
    ("list", '{"a":1}', "a JSON list is needed"),
    ("list", '["a", null]', "number 2: it may not be null"),
    ("list", '["a", 3]', "number 2: text is needed"),
    ("matrix", "[[1], [2, \"x\"]]", "number 2: number 2: a whole number"),
    ("pair", "[]", "a JSON object is needed"),
    ("pair", "{}", "'key' is missing"),
    ("pair", '{"kye": "a"}', "there is no field 'kye'; did you mean 'key'?"),
    ("pair", '{"key": "a", "key": "b"}', "duplicate"),
    ("pair", '{"key": "a", "inner": {"key": "b", "level": "X"}}', "in 'inner': in 'level': "),
    ("pairs", '[{"key": 5}]', "number 1: in 'key': text is needed"),
    ("full", "", "it may not be empty"),
])
def test_types_are_checked_before_anything_is_sent(ctl, fake, argument, value, text):
    fake.requests()
    result = ctl("odd", "echo", f"--{argument}", value)
    assert result.code == USAGE and text in result.err, result.err
    assert f"Invalid value '{value}' of argument '{argument}' for command 'echo'" in result.err
    assert [r for r in fake.requests() if "__schema" not in r["body"]] == []


@pytest.mark.parametrize("argument, value, wanted", [
    ("int", "-7", -7), ("posInt", "1", 1), ("float", "1.25", 1.25), ("float", "3", 3), ("bool", "false", False),
    ("string", "5", "5"), ("string", "", ""), ("level", "INFO", "INFO"), ("list", '["a", "b"]', ["a", "b"]),
    ("list", "null", None), ("matrix", "[[1, null], null]", [[1, None], None]),
    ("pair", '{"key": "k"}', {"key": "k", "value": 1.5}), ("timeout", "9", 9),
    ("pairs", '[{"key": "k", "inner": {"key": "i", "value": 2}}]',
     [{"key": "k", "value": 1.5, "inner": {"key": "i", "value": 2}}]),
])
def test_values_of_every_type_arrive(ctl, argument, value, wanted):
    result = ctl("odd", "echo", f"--{argument}={value}")
    assert result.code == OK, result.err
    given = json.loads(result.json["data"]["odd"]["echo"])
    assert given == {argument: wanted, "preset": 7}


def test_a_value_may_come_from_a_file_or_standard_input(ctl, tmp_path):
    file = tmp_path / "value"
    file.write_text("top secret\n")
    for words, stdin in ((("--string-file", str(file)), ""), (("--string-file", "-"), "top secret\n")):
        result = ctl("odd", "echo", *words, stdin=stdin)
        assert json.loads(result.json["data"]["odd"]["echo"])["string"] == "top secret"
    missing = ctl("odd", "echo", "--string-file", str(tmp_path / "none"))
    assert missing.code == USAGE and "No such file" in missing.err


def test_options_of_meerkatctl_may_stand_behind_the_command(fake):
    result = run("account", "listUsers", "--domain", "d", "--socket", fake.at, "--output", "raw", "--timeout", "5")
    assert result.code == OK and result.out == '{"data":{"account":{"listUsers":["alice@d","bob@d"]}}}\n'


def test_an_argument_may_have_the_name_of_an_option(ctl):
    result = ctl("odd", "echo", "--timeout", "7", "--", "--string", "x")
    assert json.loads(result.json["data"]["odd"]["echo"]) == {"timeout": 7, "string": "x", "preset": 7}
    assert "Unknown argument 'socket'" in ctl("odd", "echo", "--", "--socket", "x").err


# -- what is asked for

def test_all_fields_are_selected_and_a_type_within_itself_is_cut(ctl):
    tree = ctl("odd", "tree").json["data"]["odd"]["tree"]
    assert tree == {"name": "t5", "left": {"name": "t4", "left": {"__typename": "Tree"}, "right": None}, "right": None}
    sessions = ctl("odd", "sessions").json["data"]["odd"]["sessions"]
    assert sessions[0]["at"] == {"node": "n1", "rack": {"number": 7}}


def test_members_of_a_union_may_have_fields_of_one_name_and_different_types(ctl):
    result = ctl("odd", "mixed")
    assert result.code == OK, result.err
    numbers, words, empty = result.json["data"]["odd"]["mixed"]
    assert numbers == {"__typename": "Numbers", "value": [1, 2], "same": 1}
    assert words == {"__typename": "Words", "Words_value": "three", "same": 2}
    assert empty == {"__typename": "Empty"}
    assert ctl("odd", "named").json["data"]["odd"]["named"] == [
        {"__typename": "Cat", "name": "Tom", "lives": 9}, {"__typename": "Dog", "name": "Rex", "master": "Ann"}]


# -- output

def test_a_table_has_objects_as_rows(ctl):
    lines = ctl("odd", "sessions", "--output", "table").out.splitlines()
    assert lines[0].split() == ["user", "ip", "port", "tags", "at"]
    assert lines[1].startswith("alice@localhost/täst  127.0.0.1  40000  a, b  {")
    assert lines[2].startswith("b@localhost/x         -          1      ")
    assert len(lines) == 3
    assert ctl("account", "listUsers", "--domain", "d", "--output", "table").out == "alice@d\nbob@d\n"
    assert ctl("account", "countUsers", "--domain", "d", "--output", "table").out == "2\n"
    assert ctl("odd", "payload", "--output", "table").out == (
        "count  2\nnames  x, y\n\npairs:\nkey   value\nk1    0.1\nkey2  3\n")


def test_numbers_and_control_characters_are_printed_as_they_should(ctl):
    assert '"float" : 0.1\n' in ctl("odd", "float").out
    for form in ("json", "table"):
        text = ctl("odd", "hostile", "--output", form).out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]" if form == "table" else "[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert ctl("odd", "hostile").json["data"]["odd"]["hostile"]["text"] == "bell \a escape \x1b[2J c1 \x9b2J end"


def test_output_that_cannot_be_written_is_an_error(fake):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BUILD / "meerkatctl", "--socket", fake.at, "odd", "payload"], stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == ERROR and "cannot write" in done.stderr


# -- commands without category

def test_commands_without_category(ctl):
    assert (ctl("ping").code, ctl("ping").out) == (OK, "pong\n")
    status = ctl("status")
    assert status.code == OK and re.search(r"^statusCode +RUNNING$", status.out, re.M)
    assert ctl("status", "--output", "json").json["data"]["server"]["status"]["version"] == "1.2.3"
    assert ctl("reload").out == "reloaded\n"
    version = ctl("version").out
    assert re.fullmatch(r"meerkatctl [\d.]+\nmeerkatd 1\.2\.3\n", version)
    assert ctl("--version").out == version.splitlines(True)[0]
    assert (ctl("started").code, ctl("started", "--wait", "0").out) == (OK, "started\n")
    assert ctl("stopped", "--wait", "0").code == ERROR


def test_graphql_sends_a_document_with_variables(ctl):
    document = "query A($d: DomainName!) { account { listUsers(domain: $d) } } query B { __typename }"
    result = ctl("graphql", document, "--variables", '{"d": "x"}', "--operation", "A")
    assert result.json == {"data": {"account": {"listUsers": ["alice@x", "bob@x"]}}}
    assert ctl("graphql", "-", stdin="{ __typename }").json == {"data": {"__typename": "AdminQuery"}}
    bad = ctl("graphql", "{ nothing }")
    assert bad.code == ERROR and 'Cannot query field "nothing"' in bad.err and "errors" in bad.json


def test_stop_and_stopped(tmp_path):
    server = Fake(tmp_path, tmp_path / "api.sock")
    try:
        assert run("--socket", server.at, "stop").out == "stopping\n"
        assert run("--socket", server.at, "stopped").code == OK
        assert run("--socket", server.at, "status").code == UNREACHABLE
    finally:
        server.stop()


def test_started_waits_until_the_node_is_ready(ctl):
    assert ctl("config", "pause", "--running", "false").code == OK
    assert ctl("started", "--wait", "0").code == ERROR
    assert ctl("config", "pause", "--running", "true").code == OK
    assert ctl("started").code == OK


def test_started_waits_for_a_node_that_comes(tmp_path):
    path = tmp_path / "api.sock"
    waiting = subprocess.Popen([BUILD / "meerkatctl", "--socket", path, "started", "--wait", "60"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server = Fake(tmp_path, path)
    out, err = waiting.communicate(timeout=60)
    server.stop()
    assert (waiting.returncode, out, err) == (OK, "started\n", "")


# -- subscriptions

def test_a_subscription_prints_one_event_a_line_until_ctrl_c(fake):
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([BUILD / "meerkatctl", "--socket", fake.at, "stanza", "subscribeForMessages",
                                    "--caller", "alice@localhost"], stdout=subprocess.PIPE, text=True)
        for i in (1, 2, 3):
            event = json.loads(process.stdout.readline())
            assert event == {"data": {"stanza": {"subscribeForMessages": {
                "sender": f"{i}@localhost", "stanza": "<message/>\n"}}}}
        process.send_signal(number)
        assert process.wait(PATIENCE) == OK
        process.stdout.close()


def test_a_subscription_ends_with_the_server_and_may_be_written_as_graphql(ctl):
    document = '# one\nquery Q { a } subscription S($c: JID!) { stanza { subscribeForMessages(caller: $c) { sender } } }'
    result = ctl("graphql", document.replace("query Q { a } ", ""), "--variables", '{"c": "two@localhost"}')
    assert result.code == OK and len(result.out.splitlines()) == 2
    assert ctl("stanza", "subscribeForMessages", "--caller", "two@localhost").out == result.out
    refused = ctl("graphql", document, "--operation", "S", "--variables", '{"c": "two@localhost"}')
    assert refused.code == ERROR and 'Cannot query field "a"' in refused.err


# -- where the node is

def test_a_node_that_is_not_there_is_status_3(tmp_path):
    for words in (("account", "listUsers", "--domain", "x"), ("ping",), ("status",), ("graphql", "{a}"), ("version",),
                  ("graphql", "subscription { a }")):
        result = run("--socket", str(tmp_path / "none"), *words)
        assert result.code == UNREACHABLE
        assert f"cannot reach the node at {tmp_path}/none: No such file or directory" in result.err
    assert run("--url", "http://127.0.0.1:1", "ping").code == UNREACHABLE
    assert run("--socket", "/" + "x" * 200, "ping").code == UNREACHABLE


def test_the_socket_comes_from_the_environment_or_the_desk(fake, tmp_path):
    assert run("ping", env={"MEERKAT_SOCKET": fake.at}).code == OK
    assert run("ping", env={"MEERKAT__STATE_DIR": str(pathlib.Path(fake.at).parent)}).code == OK
    desk = tmp_path / "var/dev"
    desk.mkdir(parents=True)
    server = Fake(tmp_path, desk / "api.sock")
    try:
        assert run("ping", cwd=tmp_path).code == OK
    finally:
        server.stop()


def test_a_node_that_hangs_is_given_up(ctl):
    result = ctl("odd", "echo", "--timeout", "1")        # echo has a timeout of its own
    assert result.code == OK
    result = ctl("--timeout", "1", "server", "slow", "--ms", "60000")
    assert result.code == UNREACHABLE


def test_it_needs_no_home_no_configuration_and_writes_nowhere(fake, tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    result = run("--socket", fake.at, "odd", "sessions", "--output", "table", cwd=folder)
    assert result.code == OK and "täst" in result.out
    assert list(folder.iterdir()) == []


# -- a node elsewhere

@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem"], check=True, capture_output=True)
    server = Fake(folder, "0", "--cert", folder / "cert.pem", "--key", folder / "key.pem", "--user", "admin:se:cret")
    server.ca = str(folder / "cert.pem")
    server.url = f"https://localhost:{server.at}"
    server.credentials = folder / "credentials"
    server.credentials.write_text("admin:se:cret\n")
    yield server
    server.stop()


def test_a_remote_node_by_tls_and_credentials(remote):
    env = {"MEERKAT_USER": "admin", "MEERKAT_PASSWORD": "se:cret"}
    assert run("--url", remote.url, "--ca", remote.ca, "ping", env=env).code == OK
    words = ("--url", remote.url + "/", "--ca", remote.ca, "--credentials-file", str(remote.credentials))
    assert run(*words, "account", "listUsers", "--domain", "d").code == OK
    assert "admin" not in json.dumps([r["url"] for r in remote.requests()])


def test_a_remote_node_is_not_trusted_blindly(remote, tmp_path):
    untrusted = run("--url", remote.url, "--credentials-file", str(remote.credentials), "ping")
    assert untrusted.code == UNREACHABLE and "certificate" in untrusted.err
    other = run("--url", remote.url.replace("localhost", "127.0.0.1"), "--ca", remote.ca, "ping")
    assert other.code == UNREACHABLE
    wrong = run("--url", remote.url, "--ca", remote.ca, "ping", env={"MEERKAT_USER": "admin", "MEERKAT_PASSWORD": "x"})
    assert wrong.code == ERROR and "wants credentials" in wrong.err
    assert run("--url", remote.url, "--ca", str(tmp_path / "none"), "ping").code == USAGE


@pytest.mark.parametrize("words, text", [
    (("--url", "http://example.org:5551"), "in clear"),
    (("--url", "https://admin:secret@example.org"), "do not belong into --url"),
    (("--url", "ftp://example.org"), "--url is an address like"),
    (("--ca", "x"), "--ca goes with --url"),
])
def test_credentials_are_not_given_away(words, text):
    result = run(*words, "ping", env={"MEERKAT_USER": "admin", "MEERKAT_PASSWORD": "secret"})
    assert result.code == USAGE and text in result.err


def test_another_server_is_told_from_a_node(remote):
    words = ("--ca", remote.ca, "--credentials-file", str(remote.credentials))
    mess = run("--url", remote.url + "/mess/api/graphql", *words, "account", "listUsers", "--domain", "x")
    assert mess.code == ERROR and "no GraphQL" in mess.err
    assert "no API there" in run("--url", remote.url + "/other", *words, "ping").err


# -- completion

def completed(fake, *words):
    result = run("__complete", *words, env={"MEERKAT_SOCKET": fake.at})
    return [line.split("\t")[0] for line in result.out.splitlines()]


def test_the_reference_tells_everything_in_the_words_of_the_node(ctl):
    text = ctl("reference").out
    assert "- query `checkAuth: String`\n\n## account\n\nAccounts of users\n\n" in text
    assert "- mutation `registerUser(domain: DomainName!, username: UserName, password: String!): UserPayload`: Makes an account. " \
           "The name is made up where none is given.\n  - `username`: The part before the @\n" in text
    assert "\n### LogLevel (enum)\n\n- `NONE`\n- `ERROR`\n" in text
    assert "\n### NonEmptyString (scalar)\n\nText that is not empty\n" in text and "### UserPayload (object)" in text
    assert "AccountQuery" not in text and "AdminQuery" not in text and "__Type" not in text and "### String" not in text


def test_completion_knows_what_the_node_can_do(fake):
    assert completed(fake, "acc") == ["account"]
    assert {"account", "odd", "status", "graphql"} <= set(completed(fake, ""))
    assert completed(fake, "account", "list") == ["listUsers"]
    assert completed(fake, "account", "registerUser", "--domain", "x", "--") == [
        "--username", "--password", "--output", "--timeout", "--socket", "--url", "--credentials-file", "--ca", "--help"]
    assert completed(fake, "odd", "echo", "--level", "") == ["NONE", "ERROR", "WARNING", "INFO", "DEBUG"]
    assert completed(fake, "odd", "echo", "--level=W") == ["--level=WARNING"]
    assert completed(fake, "odd", "echo", "--level", "=", "W") == ["WARNING"]
    assert completed(fake, "odd", "echo", "--bool", "") == ["true", "false"]
    assert completed(fake, "--output", "") == ["json", "table", "raw"]
    assert completed(fake, "started", "--w") == ["--wait"]
    assert completed(fake, "completion", "") == ["bash", "zsh", "fish"]


def test_completion_in_bash(fake, tmp_path):
    script = tmp_path / "try.sh"
    script.write_text(f"""
        PATH={BUILD}:$PATH
        export MEERKAT_SOCKET={fake.at}
        source <(meerkatctl completion bash)
        complete -p meerkatctl
        try() {{ COMP_WORDS=(meerkatctl "$@"); COMP_CWORD=$#; COMPREPLY=(); _meerkatctl; echo "${{COMPREPLY[*]}}"; }}
        try acc
        try account reg
        try odd echo --level D
    """)
    done = subprocess.run(["bash", "--norc", script], text=True, capture_output=True, timeout=60)
    assert done.stdout.splitlines()[1:] == ["account", "registerUser", "DEBUG"], done.stderr


def test_completion_in_zsh(fake, tmp_path):
    script = tmp_path / "try.zsh"
    script.write_text(f"""
        PATH={BUILD}:$PATH
        export MEERKAT_SOCKET={fake.at}
        autoload -U compinit; compinit -D -u
        source <(meerkatctl completion zsh)
        echo $_comps[meerkatctl]
        compadd() {{ echo $names }}
        try() {{ words=(meerkatctl "$@"); CURRENT=$(($# + 1)); _meerkatctl }}
        try acc
        try account reg
        try odd echo --level D
    """)
    done = subprocess.run(["zsh", "-f", script], text=True, capture_output=True, timeout=60, env={"HOME": str(tmp_path)})
    assert done.stdout.splitlines() == ["_meerkatctl", "account", "registerUser", "DEBUG"], done.stderr


def test_completion_in_fish(fake, tmp_path):
    lines = ["account", "account reg", "odd echo --level D"]
    script = f"set -x PATH {BUILD} $PATH; meerkatctl completion fish | source; " + "; ".join(
        f"complete -C 'meerkatctl {line}' | cut -f1" for line in lines)
    done = subprocess.run(["fish", "--no-config", "-c", script], text=True, capture_output=True, timeout=60,
                          env={"HOME": str(tmp_path), "MEERKAT_SOCKET": fake.at, "PATH": os.environ["PATH"]})
    assert done.stdout.splitlines() == ["account", "registerUser", "DEBUG"], done.stderr


def test_completion_is_silent_without_a_node(tmp_path):
    result = run("__complete", "--socket", str(tmp_path / "none"), "account", "")
    assert (result.out, result.err) == ("", "")


def test_many_calls_at_once(fake):
    calls = [subprocess.Popen([BUILD / "meerkatctl", "ping"], env={"MEERKAT_SOCKET": fake.at}, stdout=subprocess.DEVNULL)
             for _ in range(20)]
    assert [call.wait(PATIENCE * 4) for call in calls] == [OK] * 20
