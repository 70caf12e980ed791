# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The configuration: what --check says of mistakes, what a reload takes over and what it keeps, --describe."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from extra import compile_module, module_folder
from support import BUILD, MODULES, Node, wait_for
from test_loader import CHAT, life

SOURCES = pathlib.Path(__file__).parents[2] / "modules"
SECRET = "tops3cret"


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A module path with all modules and t_life."""
    modules = module_folder(tmp_path_factory.mktemp("path"))
    compile_module(modules, "t_life")
    return modules


@pytest.fixture
def check(tmp_path, modules):
    """check(ini, files, sets): exit status and messages of --check, paths relative."""
    def run(ini, files=None, sets=(), **env):
        for name, text in {"a.ini": ini, **(files or {})}.items():
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        args = [f"--set={s}" for s in (f"meerkat.module_path={modules}", *sets)]
        run = subprocess.run([BUILD / "meerkatd", "--check", "--config", tmp_path / "a.ini", *args],
                             capture_output=True, text=True, timeout=20, env={**os.environ, **env})
        assert run.returncode in (0, 1), run
        assert run.stdout == "" or run.returncode == 0
        return run.returncode, run.stderr.replace(f"{tmp_path}/", "").splitlines()[:-1]
    return run


# -- mistakes, each with its place, what was found, and what is allowed

MISTAKES = {
    "unknown key": ("[t_life]\nnumbr = 3", "a.ini:2: [module:t_life] has no option 'numbr'; did you mean 'number'?"),
    "unknown key far from all": ("[t_life]\nzzzzzz = 3", "a.ini:2: [module:t_life] has no option 'zzzzzz'"),
    "unknown key of the core": ("[meerkat]\nworker = 3", "a.ini:2: [meerkat] has no option 'worker'; did you mean 'workers'?"),
    "wrong type": ("[t_life]\nnumber = three",
                   "a.ini:2: [module:t_life] 'number': 'three' is not a whole number; allowed: whole number, 1 to 10"),
    "not yes or no": ("[t_life]\nflag = perhaps", "a.ini:2: [module:t_life] 'flag': 'perhaps' is not yes or no; allowed: yes or no"),
    "too small": ("[t_life]\nnumber = 0", "a.ini:2: [module:t_life] 'number': '0' is too small; allowed: whole number, 1 to 10"),
    "too large": ("[t_life]\nnumber = 11", "a.ini:2: [module:t_life] 'number': '11' is too large; allowed: whole number, 1 to 10"),
    "no number can be so large": ("[t_life]\nnumber = 99999999999999999999",
                                  "a.ini:2: [module:t_life] 'number': '99999999999999999999' is not a whole number; "
                                  "allowed: whole number, 1 to 10"),
    "bad enum": ("[t_life]\ncolour = blue", "a.ini:2: [module:t_life] 'colour': 'blue' is none of the choices; "
                 "allowed: one of red, green"),
    "bad period": ("[t_life]\npause = 5 minutes", "a.ini:2: [module:t_life] 'pause': '5 minutes' is not a period; allowed: "
                   "period (10s, 5m, 1h 30m; a bare number is in seconds), 10ms to 1h"),
    "period out of range": ("[t_life]\npause = 1h 1s", "a.ini:2: [module:t_life] 'pause': '1h 1s' is too large; allowed: "
                            "period (10s, 5m, 1h 30m; a bare number is in seconds), 10ms to 1h"),
    "bad size": ("[t_life]\nsize = 5Q", "a.ini:2: [module:t_life] 'size': '5Q' is not a size; allowed: "
                 "size (4096, 64K, 1M), 1K to 1T"),
    "size out of range": ("[t_life]\nsize = 2T", "a.ini:2: [module:t_life] 'size': '2T' is too large; allowed: "
                          "size (4096, 64K, 1M), 1K to 1T"),
    "bad address": ("[t_life]\naddresses = 5222, nohost:5222", "a.ini:2: [module:t_life] 'addresses': 'nohost:5222' is not an "
                    "address; allowed: list of addresses (PORT, ADDRESS:PORT, [IPV6]:PORT, *:PORT)"),
    "bad JID": ("[t_life]\njid = a@@b", "a.ini:2: [module:t_life] 'jid': 'a@@b' is not a JID; allowed: JID"),
    "unset variable": ("[t_life]\nnumber = ${NO_SUCH_THING}", "a.ini:2: [module:t_life] 'number': the environment has no "
                       "'NO_SUCH_THING'; set it, or write ${NO_SUCH_THING:-default}"),
    "open variable": ("[t_life]\nnumber = ${NO", "a.ini:2: [module:t_life] 'number': '${' has no '}'; write '$${' for the "
                      "characters themselves"),
    "missing value file": ("[t_life]\nsecret = file:none", "a.ini:2: [module:t_life] 'secret': cannot use the content of "
                           "'none': No such file or directory"),
    "value file is a folder": ("[t_life]\nsecret = file:/", "a.ini:2: [module:t_life] 'secret': cannot use the content of "
                               "'/': Is a directory"),
    "duplicate key": ("[t_life]\nnumber = 1\nnumber = 2", "a.ini:3: [module:t_life] 'number' is set already, at a.ini:2"),
    "duplicate section": ("[t_life]\n[log]\n[module:t_life]", "a.ini:3: [module:t_life] stands in this file already, on line 1"),
    "unknown module": ("[t_lifo]", "a.ini:1: [module:t_lifo] there is no module 't_lifo'; did you mean 't_life'?"),
    "misspelt core section": ("[meercat]\nhosts = a", "a.ini:1: [module:meercat] there is no module 'meercat'; did you mean 'meerkat'?"),
    "unknown host": ("[t_life]\n[t_life@b.example]\nnumber = 2", "a.ini:2: [module:t_life@b.example]: 'b.example' is not one of "
                     "the hosts; [meerkat] 'hosts' has: localhost"),
    "host without its module": ("[t_life@localhost]\nnumber = 2", "a.ini:1: [module:t_life@localhost]: the module is not enabled; "
                                "add [module:t_life]"),
    "not by host": ("[t_life]\n[t_life@localhost]\ncolour = red", "a.ini:3: [module:t_life@localhost] 'colour' cannot be set for a "
                    "single host: set it in [module:t_life]"),
    "bad host": ("[meerkat]\nhosts = ok.example, -a b..c", "a.ini:2: [meerkat] 'hosts': 'b..c' is not a domain"),
    "host twice": ("[meerkat]\nhosts = a.example, A.example", "a.ini:2: [meerkat] 'hosts' has 'a.example' twice"),
    "no hosts": ("[meerkat]\nhosts =", "a.ini:2: [meerkat] 'hosts' is empty: at least one domain is needed"),
    "include circle": ("[meerkat]\n@include a.ini", "a.ini:2: 'a.ini' is being read already: files include each other in a circle"),
    "missing include": ("\n@include none.ini", "a.ini:2: cannot include 'none.ini': no such file"),
    "unreadable include": ("\n@include /proc/self", "a.ini:2: cannot read '/proc/self': Is a directory"),
    "no section": ("number = 1", "a.ini:1: 'number' stands before any [section]"),
    "half a section": ("[t_life", "a.ini:1: '[t_life' is not a [section]"),
    "more than a section": ("[t_life] number = 3", "a.ini:1: '[t_life] number = 3' is not a [section]"),
    "no key": ("[t_life]\nnumber", "a.ini:2: neither '[section]' nor 'key = value' nor a comment"),
    "long line": ("[t_life]\npath = " + "x" * 300, "a.ini:2: the line is longer than 198 characters: continue it on the next "
                  "line, indented, or write file:PATH"),
    "zero byte": ("[t_life]\nnumber = 3\0\n", "a.ini:2: the line has a zero byte in it"),
    "bad level": ("[log]\nlevels = c2s=loud", "a.ini:2: [log] 'levels': 'c2s=loud' is not MODULE=debug, info, warn or error"),
    "log without file": ("[log]\ntarget = file", "a.ini:2: [log] 'target' = file needs 'file'"),
    "driver": ("[rdbms]\ndriver = sqlit", "a.ini:1: module 'rdbms' needs 'rdbms_sqlit': there is no module 'rdbms_sqlit'; "
               "did you mean 'rdbms_sqlite'?"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(check, tmp_path, name):
    ini, message = MISTAKES[name]
    status, lines = check(ini)
    assert (status, lines) == (1, [message])


def test_a_file_that_cannot_be_read_is_told(tmp_path, modules):
    for file, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        run = subprocess.run([BUILD / "meerkatd", "--check", "--config", file], capture_output=True, text=True)
        assert run.returncode == 1
        assert f"{file}: cannot read '{file}': {why}\n" in run.stderr


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), reason="root reads every file")
def test_a_file_without_permission_is_told(tmp_path):
    # Beside the tests' folders, which only their owner may enter.
    folder = subprocess.run(["mktemp", "-d"], capture_output=True, text=True).stdout.strip()
    os.chmod(folder, 0o755)
    file = os.path.join(folder, "a.ini")
    with open(file, "w") as f:
        f.write("[meerkat]\n")
    os.chmod(file, 0)
    wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    run = subprocess.run([*wrapper, BUILD / "meerkatd", "--check", "--config", file], capture_output=True, text=True)
    os.unlink(file)
    os.rmdir(folder)
    if run.returncode == 126:
        pytest.skip("the build cannot be run by another user")
    assert run.returncode == 1
    assert f"cannot read '{file}': Permission denied" in run.stderr


def test_all_mistakes_are_told_at_once(check):
    status, lines = check("[meerkat]\nworkers = x\nhosts = ..\n[t_life]\nnumber = 0\nfixed = y\n junk\nkolour = red\n"
                          "[nowhere]\na = 1\n@include nowhere.ini\n[log]\nrate = -1\n")
    assert status == 1
    places = sorted(int(re.match(r"a.ini:(\d+): ", line).group(1)) for line in lines)
    # Line 7 goes on with the value of line 6.
    assert places == [2, 3, 5, 6, 8, 9, 11, 13]


def test_the_number_of_mistakes_comes_last(tmp_path, modules):
    (tmp_path / "a.ini").write_text("[meerkat]\nworkers = x\nuser1 = x\n")
    run = subprocess.run([BUILD / "meerkatd", "--check", "--config", tmp_path / "a.ini"], capture_output=True, text=True)
    assert run.stderr.endswith("meerkatd: 2 errors in the configuration\n")
    assert run.stdout == ""


def test_a_mistake_in_set_is_told(check):
    status, lines = check("[t_life]\n", sets=["t_life.number=0", "t_life.nmber=1", "nodot=1", "x=y=z"])
    assert status == 1
    assert lines == ["--set: 'nodot' is not section.key=value", "--set: 'x' is not section.key=value",
                     "--set t_life.number: [module:t_life] 'number': '0' is too small; allowed: whole number, 1 to 10",
                     "--set t_life.nmber: [module:t_life] has no option 'nmber'; did you mean 'number'?"]


# -- options from the environment

ENVIRONMENT = {
    "unknown key": ({"MEERKAT_T_LIFE__NUMBR": "3"}, "environment MEERKAT_T_LIFE__NUMBR: [module:t_life] has no option 'numbr'; "
                    "did you mean MEERKAT_T_LIFE__NUMBER?"),
    "unknown key of the core": ({"MEERKAT__WORKER": "3"}, "environment MEERKAT__WORKER: [meerkat] has no option 'worker'; "
                                "did you mean MEERKAT__WORKERS?"),
    "unknown module": ({"MEERKAT_T_LIFO__NUMBER": "3"}, "environment MEERKAT_T_LIFO__NUMBER: [module:t_lifo] there is no module "
                       "'t_lifo'; did you mean 't_life'?"),
    "an underscore is missing": ({"MEERKAT_T_LIFE_NUMBER": "3"}, "MEERKAT_T_LIFE_NUMBER: nothing reads this variable; did you mean "
                                 "MEERKAT_T_LIFE__NUMBER?"),
    "an underscore is missing for the core": ({"MEERKAT_LOG_LEVEL": "debug"}, "MEERKAT_LOG_LEVEL: nothing reads this variable; did you "
                                              "mean MEERKAT_LOG__LEVEL?"),
    "the core's name twice": ({"MEERKAT_MEERKAT__HOSTS": "a"}, "environment MEERKAT_MEERKAT__HOSTS: an option is written MEERKAT__HOSTS"),
    "small letters": ({"MEERKAT_t_life__number": "3"}, "environment MEERKAT_t_life__number: an option is written MEERKAT_T_LIFE__NUMBER"),
    "no key": ({"MEERKAT_T_LIFE__": "3"}, "environment MEERKAT_T_LIFE__: this is not MEERKAT_SECTION__KEY"),
    "bad value": ({"MEERKAT_T_LIFE__NUMBER": SECRET}, "environment MEERKAT_T_LIFE__NUMBER: [module:t_life] 'number': the value from the "
                  "environment or a file cannot be used; allowed: whole number, 1 to 10"),
    "file that is not there": ({"MEERKAT_T_LIFE__SECRET": "file:/none"}, "environment MEERKAT_T_LIFE__SECRET: [module:t_life] 'secret': cannot "
                               "use the content of '/none': No such file or directory"),
}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_mistake_in_the_environment_is_told(check, name):
    env, message = ENVIRONMENT[name]
    status, lines = check("[t_life]\n", **env)
    assert (status, lines) == (1, [message])


def test_what_others_put_into_the_environment_is_left_alone(check):
    assert check("[t_life]\n", MEERKAT_PORT="tcp://10.0.0.1:5222", MEERKAT_SERVICE_HOST="10.0.0.1", MEERKAT_BUILD="x",
                 MEERKATS__HOSTS="y") == (0, [])


def test_the_environment_wins_over_the_file_and_set_over_the_environment(start):
    node = start("[t_life]\nnumber = 2\nfixed = 2\n", sets=["t_life.fixed=9"],
                 env={"MEERKAT_T_LIFE__NUMBER": "7", "MEERKAT_T_LIFE__FIXED": "8"})
    with node.client("alice") as alice:
        assert (life(alice)["number"], life(alice)["fixed"]) == (7, 9)


def test_a_variable_enables_its_module_and_may_name_a_file(start, tmp_path):
    (tmp_path / "number").write_text("4\n")
    with start(env={"MEERKAT_T_LIFE__NUMBER": f"file:{tmp_path}/number"}).client("alice") as alice:
        assert life(alice)["number"] == 4


def test_a_value_of_the_environment_is_taken_as_it_stands(check):
    status, lines = check("[t_life]\n", MEERKAT_T_LIFE__JID="${NO_SUCH_THING}", MEERKAT_T_LIFE__NUMBER="${THREE")
    assert (status, lines) == (1, ["environment MEERKAT_T_LIFE__NUMBER: [module:t_life] 'number': the value from the environment or a "
                                   "file cannot be used; allowed: whole number, 1 to 10"])


def test_a_circle_through_several_files_is_found(check):
    status, lines = check("[meerkat]\n@include b.ini", {"b.ini": "[log]\n@include c.ini\n", "c.ini": "\n\n@include b.ini\n"})
    assert (status, lines) == (1, ["c.ini:3: 'b.ini' is being read already: files include each other in a circle"])


@pytest.mark.parametrize("ini", [
    "[t_life]\nnumber = ${S}", "[t_life]\nnumber = file:s", "[t_life]\nsecret = ${S}\nsecret = tops3cret",
    "[t_life]\nsecre = tops3cret", "[t_life]\nsecret = a\ntops3cret", "[rdbms_sqlite]\nsecret = tops3cret",
    "[t_life]\nsecret = tops3cret ${", "[t_life]\nsecret = file:z",
    "[t_life]\nsecret = " + SECRET * 40, "[t_life]\ncolour = ${S}\naddresses = file:s\npause = ${S}"])
def test_no_message_shows_a_secret(check, ini):
    status, lines = check(ini, {"s": SECRET + "\n", "z": SECRET + "\0"}, S=SECRET, sets=["password=" + SECRET])
    assert status == 1 and len(lines) >= 2
    assert SECRET not in "".join(lines)


def test_a_check_says_when_all_is_well(tmp_path, modules):
    (tmp_path / "a.ini").write_text("[t_life]\n")
    run = subprocess.run([BUILD / "meerkatd", "--check", "--config", tmp_path / "a.ini",
                          "--set", f"meerkat.module_path={modules}"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "the configuration is good: 1 modules\n"


# -- what may be written

GOOD = {
    "comments": "# one\n; two\n[t_life] ; three\nnumber = 3 ; four\n",
    "a colon": "[t_life]\nnumber: 3\n",
    "the long name": "[module:t_life]\nnumber = 3\n",
    "indented": "[t_life]\n  fixed = 2\n  number = 3\n  flag = yes\n",
    "a byte order mark": "\ufeff[t_life]\nnumber = 3\n",
    "lines of DOS": "[t_life]\r\nnumber = 3\r\nflag = yes\r\n",
    "an environment variable": "[t_life]\nnumber = ${THREE}\n",
    "a default for a variable": "[t_life]\nnumber = ${NO_SUCH_THING:-3}\n",
    "a value file": "[t_life]\nnumber = file:three\n",
    "a value file named by a variable": "[t_life]\nnumber = file:${HERE}/three\n",
    "an include": "@include three.ini\n",
    "an include by a pattern": "@include thr*.ini\n@include nothing*.ini\n",
    "a section that goes on in another file": "[t_life]\nfixed = 2\n@include three.ini\n",
    "the long name of a host": "[t_life]\n[module:t_life@A.Very.Long.Name.Of.A.Host.That.Goes.On.And.On.Example.ORG]\nnumber = 3\n",
}


@pytest.fixture
def start(tmp_path, modules):
    """start(ini, sets, env, **more): a node on CHAT and `ini`, with t_life in its path."""
    nodes = []

    def run(ini="", sets=(), env=None, **more):
        args = [f"--set={s}" for s in (f"meerkat.module_path={modules}", *sets)]
        node = Node(tmp_path / str(len(nodes)), CHAT + ini, args=args, **more)
        nodes.append(node)
        return node.start(env={**os.environ, **(env or {})})

    yield run
    for node in nodes:
        node.stop()


LONG = "a.very.long.name.of.a.host.that.goes.on.and.on.example.org"


@pytest.mark.parametrize("name", GOOD)
def test_a_value_may_be_written_so(tmp_path, start, name):
    (tmp_path / "three").write_text("3\n")
    (tmp_path / "three.ini").write_text("[t_life]\nnumber = 3\n")
    (tmp_path / "main.ini").write_bytes(GOOD[name].encode())
    # Before [meerkat], so that it is the first that the reader sees.
    node = start(f"@include {tmp_path}/main.ini\n", hosts=LONG, env={"THREE": "3", "HERE": str(tmp_path)})
    with node.client("alice") as alice:
        assert life(alice)["number"] == 3


def test_set_wins_over_the_file_and_the_last_one_over_others(start):
    node = start("[t_life]\nnumber = 1\nfixed = 1\n", sets=["t_life.number=2", "module:t_life.number=3"])
    with node.client("alice") as alice:
        assert life(alice)["number"] == 3 and life(alice)["fixed"] == 1


def test_set_reaches_a_host_and_enables_a_module(start):
    node = start(hosts="localhost, b.example", sets=["t_life@B.example.number=2", "t_life.number=7"])
    with node.client("alice") as alice, node.client("alice", host="b.example") as other:
        assert (life(alice)["number"], life(other)["number"]) == (7, 2)


def test_a_value_goes_on_in_lines_that_stand_deeper(start):
    node = start()
    node.stop()
    node.configure(CHAT.replace("alice:secret,", "zoe:secret,\n   alice:${NAME},\n") +
                   "[t_life]\naddresses = 127.0.0.1:1,\n   # a comment, and nothing\n\n   [::1]:2,\n   *:3 ; more\nnumber = 4\n")
    node.start(env={**os.environ, "NAME": "word"})
    with node.client("alice", "word") as alice:
        assert life(alice)["number"] == 4


# -- reload

def reloaded(node, config=None):
    """Reloads by SIGHUP; what the log says from there to its end."""
    if config is not None:
        node.configure(config)
    mark = len(node.log())
    node.reload()
    wait_for(lambda: re.search(r"\[config\.(reload|kept)\]", node.log()[mark:]), "the end of a reload")
    return node.log()[mark:]


def test_a_reload_puts_the_file_in_force(start):
    node = start("[t_life]\nnumber = 2\n")
    with node.client("alice") as alice:
        log = reloaded(node, CHAT + "[t_life]\nnumber = 3\n")
        assert "the configuration was reloaded" in log and "warn" not in log
        assert life(alice)["number"] == 3
        assert "step reloaded of t_life" in log


def test_a_reload_with_a_bad_file_changes_nothing_and_says_why(start):
    node = start("[t_life]\nnumber = 2\n[version]\nshow_os = no\n[log]\nlevel = info\n")
    with node.client("alice") as alice:
        log = reloaded(node, CHAT + "[t_life]\nnumber = 3\nfixed = x\n[version]\nshow_os = maybe\n[log]\nlevel = error\n")
        assert re.search(r"error core: .*meerkat.ini:\d+: \[module:t_life\] 'fixed': 'x' is not a whole number; allowed: "
                         r"whole number, 0 to 1000 \[config.bad\]", log)
        assert re.search(r"error core: .*meerkat.ini:\d+: \[module:version\] 'show_os': 'maybe' is not yes or no", log)
        assert "was not reloaded, the old one stays in force: 2 errors [config.kept]" in log
        assert life(alice)["number"] == 2
        assert "step reloaded" not in log
        # The level of the log is the old one too: this line would not come otherwise.
        assert "the configuration was reloaded" in reloaded(node, CHAT + "[t_life]\nnumber = 4\n[version]\n")
        assert life(alice)["number"] == 4


@pytest.mark.parametrize("bad, why", [
    ("[t_lif]\n", "there is no module 't_lif'"), ("[ping]\ninterval = 5 parsecs\n", "is not a period"),
    ("[t_life@nowhere.example]\n", "is not one of the hosts"), ("[log]\ntarget = file\nfile = /nowhere/at/all\n", "cannot open the log file"),
    ("@include none.ini\n", "cannot include"), ("[sasl]\n", "stands in this file already"), ("junk\n", "neither '[section]'")])
def test_any_mistake_stops_a_reload(start, bad, why):
    node = start("[t_life]\nnumber = 2\n")
    with node.client("alice") as alice:
        log = reloaded(node, CHAT + "[t_life]\nnumber = 3\n" + bad)
        assert why in log and "[config.kept]" in log
        assert life(alice)["number"] == 2
        assert node.control("reload").startswith("error: ")


def test_a_file_that_is_gone_stops_a_reload(start):
    node = start("[t_life]\nnumber = 2\n")
    node.ini.unlink()
    assert "No such file or directory" in reloaded(node)
    with node.client("alice") as alice:
        assert life(alice)["number"] == 2


def test_an_option_that_cannot_be_reloaded_keeps_its_old_value_and_the_log_names_it(start):
    node = start("[t_life]\nnumber = 2\nfixed = 20\n")
    with node.client("alice") as alice:
        for _ in range(2):
            log = reloaded(node, CHAT + "[t_life]\nnumber = 3\nfixed = 30\ncolour = green\nsecret = tops3cret\n")
            for name in ("fixed", "colour", "secret"):
                assert (f"warn  core: [module:t_life] '{name}' has changed in the file: the old value stays in force "
                        "until a restart [config.restart]") in log
            assert "'number'" not in log and SECRET not in log
            assert (life(alice)["number"], life(alice)["fixed"]) == (3, 20)
        assert "has changed" not in reloaded(node, CHAT + "[t_life]\nnumber = 3\nfixed = 20\n")
        node.configure(CHAT + "[t_life]\nfixed = 30\n")
        assert node.control("module", "reload", "t_life") == "ok\n"
        assert life(alice)["fixed"] == 30


def test_every_type_of_value_is_kept_over_reloads(start):
    first = ("[t_life]\npause = 11ms\nsize = 2K\ncolour = red\nsecret = a\npath = b\njid = c@d\nlist = e, f\n"
             "addresses = 1, 2\nflag = no\nfixed = 3\n")
    second = ("[t_life]\npause = 12ms\nsize = 3K\ncolour = green\nsecret = x\npath = y\njid = z@d\nlist = e\n"
              "addresses = 3\nflag = yes\nfixed = 4\n")
    node = start(first)
    for _ in range(3):
        names = re.findall(r"\[module:t_life\] '(\w+)' has changed", reloaded(node, CHAT + second))
        assert sorted(names) == ["addresses", "colour", "fixed", "flag", "jid", "list", "path", "pause", "secret", "size"]
    assert "has changed" not in reloaded(node, CHAT + first)


def test_values_of_hosts_are_kept_and_reloaded_as_well(start):
    node = start("[t_life]\nnumber = 1\nfixed = 10\n[t_life@b.example]\nnumber = 2\nfixed = 20\n", hosts="localhost, b.example")
    with node.client("alice") as alice, node.client("alice", host="b.example") as other:
        def values():
            return [(life(c)["number"], life(c)["fixed"]) for c in (alice, other)]
        assert values() == [(1, 10), (2, 20)]
        log = reloaded(node, CHAT + "[t_life]\nnumber = 1\nfixed = 10\n[t_life@b.example]\nnumber = 3\nfixed = 30\n")
        assert "[module:t_life@b.example] 'fixed' has changed" in log and "[module:t_life] 'fixed'" not in log
        assert values() == [(1, 10), (3, 20)]
        # The section goes: what can be reloaded follows the others, what cannot stays.
        log = reloaded(node, CHAT + "[t_life]\nnumber = 4\nfixed = 40\n")
        assert "[module:t_life@b.example] 'fixed' has changed" in log and "[module:t_life] 'fixed' has changed" in log
        assert values() == [(4, 10), (4, 20)]
        # It comes back, for the other host.
        log = reloaded(node, CHAT + "[t_life]\nfixed = 10\nnumber = 5\n[t_life@localhost]\nfixed = 11\nnumber = 6\n"
                       "[t_life@b.example]\nfixed = 20\n")
        assert "[module:t_life@localhost] 'fixed' has changed" in log and "b.example" not in log
        assert values() == [(6, 10), (5, 20)]


def test_settings_of_the_core_that_need_a_restart_are_named(start):
    node = start()
    log = reloaded(node, CHAT.replace("[meerkat]\n", "[meerkat]\nworkers = 3\nhosts = localhost, new.example\nstop_timeout = 5s\n")
                   + "[version]\n[version@new.example]\nshow_os = yes\n")
    assert sorted(re.findall(r"\[meerkat\] '(\w+)' has changed", log)) == ["hosts", "workers"]
    assert "[module:version] is not loaded: load the module, or restart" in log
    assert "the configuration was reloaded" in log


def test_a_section_of_a_new_host_is_checked_before_it_is_there(start):
    node = start("[t_life]\n")
    log = reloaded(node, CHAT.replace("[meerkat]\n", "[meerkat]\nhosts = localhost, new.example\n")
                   + "[t_life]\n[t_life@new.example]\nnumber = 0\n")
    assert "[module:t_life@new.example] 'number': '0' is too small" in log and "[config.kept]" in log


def test_a_module_that_is_gone_from_the_file_is_named(start):
    node = start("[t_life]\n[version]\n")
    log = reloaded(node, CHAT + "[t_life]\n")
    assert "[module:version] is gone from the file: unload the module, or restart" in log
    # What others need was never in it.
    assert "tables_local" not in log


def test_the_log_goes_to_standard_output_and_back(tmp_path, modules):
    ini = tmp_path / "a.ini"
    ini.write_text(f"[meerkat]\nstate_dir = {tmp_path}\nworkers = 1\n[log]\ntarget = stdout\nformat = json\n")
    with open(tmp_path / "out", "w") as out, open(tmp_path / "err", "w") as err:
        node = subprocess.Popen([BUILD / "meerkatd", "--config", ini], stdout=out, stderr=err)
    try:
        wait_for(lambda: "is ready" in (tmp_path / "out").read_text(), "the line on standard output")
        assert all(json.loads(line) for line in (tmp_path / "out").read_text().splitlines())
        ini.write_text(ini.read_text().replace("target = stdout\n", ""))
        node.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in (tmp_path / "err").read_text(), "the line on standard error")
    finally:
        node.terminate()
        assert node.wait(20) == 0
    assert "stopped" in (tmp_path / "err").read_text() and "stopped" not in (tmp_path / "out").read_text()


def test_the_log_goes_to_another_file_on_reload(start, tmp_path):
    node = start("[t_life]\n")
    node.configure(CHAT + f"[t_life]\n[log]\ntarget = file\nfile = {tmp_path}/other\nformat = json\n")
    assert node.control("reload") == "ok\n"
    assert '"event":"config.reload"' in (tmp_path / "other").read_text()
    # And after a rotation SIGHUP opens it anew.
    (tmp_path / "other").rename(tmp_path / "old")
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: (tmp_path / "other").exists() and "config.reload" in (tmp_path / "other").read_text(), "the new log")


# -- --describe

def describe(*names, path=MODULES):
    run = subprocess.run([BUILD / "meerkatd", "--describe", *names, "--set", f"meerkat.module_path={path}"],
                         capture_output=True, text=True, timeout=20)
    return run.returncode, run.stdout, run.stderr


@pytest.mark.parametrize("name", sorted(d.name for d in SOURCES.iterdir() if (d / f"{d.name}.c").exists()))
def test_a_module_is_described_completely(name):
    status, text, errors = describe(name)
    assert (status, errors) == (0, "")
    assert re.match(rf"# {name} \d\S*\n\n\S[^\n]{{10,}}\.\n\nSection: `\[{name}\]`\n", text), text
    rows = re.findall(r"^\| `(\w+)` (.*) \|$", text, re.M)
    assert rows or text.endswith("\nNo options.\n")
    for option, row in rows:
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", row)[1:]]
        assert len(cells) == 5 and all(cells), f"{option}: {cells}"
        assert cells[2] in ("yes", "no") and cells[3] in ("yes", "no")
        assert len(cells[4]) > 5 and not cells[4].endswith("."), cells
    source = "".join(f.read_text() for f in (SOURCES / name).glob("*.[ch]"))
    assert len(rows) == len(re.findall(r"^ +MK_OPTION_(?!END)[A-Z]+\(", source, re.M))


def test_an_option_is_described_with_all_that_is_to_know(modules):
    text = describe("t_life", path=modules)[1]
    assert "| `number` | whole number, 1 to 10 | `5` | yes | yes | reloadable |" in text
    assert "| `colour` | one of red, green | `red` | no | no | red \\| green |" in text
    assert "| `secret` | secret | empty | no | no | not shown |" in text
    assert "Provides: service_t_life" in text


def test_without_a_name_the_core_and_all_modules_are_described(modules):
    status, text, errors = describe(path=modules)
    assert (status, errors) == (0, "")
    assert "## Section [meerkat]" in text and "## Section [log]" in text and "| `module_path` |" in text
    assert re.findall(r"^# (\w+) \d", text, re.M) == sorted(so.stem for so in modules.glob("*.so"))


def test_the_sections_of_the_core_are_described_alone():
    assert describe("meerkat")[1] == describe("log")[1]
    assert "# c2s" not in describe("meerkat")[1]


def test_what_is_not_there_cannot_be_described():
    assert describe("c2z") == (1, "", "meerkatd: there is no module 'c2z'; did you mean 'c2s'?\n")
