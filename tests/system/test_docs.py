# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What the documentation says is so: docs/modules is what the modules say, the configuration for production is one."""
import pathlib
import re
import subprocess
import sys

import pytest

from support import BUILD, MODULES, Node

ROOT = pathlib.Path(__file__).parents[2]
PRODUCTION = ROOT / "etc" / "meerkat.ini"


def test_the_pages_of_the_modules_are_up_to_date():
    run = subprocess.run([sys.executable, ROOT / "tools" / "docs.py", BUILD, "--check"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_every_module_has_a_readme():
    for folder in (ROOT / "modules").iterdir():
        if (folder / f"{folder.name}.c").exists():
            assert len((folder / "README.md").read_text()) > 100, folder.name


REGISTERED = re.compile(r'mk_on\(\s*[\w>.-]+,\s*(\w+),|mk_(?:counter|gauge|histogram)_\w+\(\s*[\w>.-]+,\s*"(\w+)"')


def is_named(name, words):
    """`…_total` stands for all names that end so, `user_send_*` for all that begin so."""
    return any(name == word or (word.endswith("*") and name.startswith(word[:-1])) or
               (word[0] in "…_" and name.endswith(word[1:])) for word in words)


def test_every_readme_names_the_hooks_and_metrics_of_its_module():
    missing = {}
    for folder in (ROOT / "modules").iterdir():
        if not (folder / f"{folder.name}.c").exists():
            continue
        words = {re.sub(r"^meerkat_|\{.*", "", word) for word in re.findall(r"`([^`\n]+)`", (folder / "README.md").read_text())} - {""}
        names = {hook or metric for source in folder.glob("*.c") for hook, metric in REGISTERED.findall(source.read_text())}
        if left := sorted(name for name in names if not is_named(name, words)):
            missing[folder.name] = left
    assert not missing


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    pem = tmp_path_factory.mktemp("tls") / "pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=example.org", "-addext", "subjectAltName=DNS:example.org", "-keyout", pem, "-out", pem],
                   check=True, capture_output=True)
    return [f"--set=tls.certificate={pem}", f"--set=tls.key={pem}", f"--set=meerkat.module_path={MODULES}"]


def test_the_configuration_for_production_is_good(certificate):
    run = subprocess.run([BUILD / "meerkatd", "--check", "--config", PRODUCTION, *certificate], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "the configuration is good" in run.stdout


def test_a_node_with_the_configuration_for_production_starts(certificate, tmp_path):
    node = Node(tmp_path / "node", "", args=[*certificate, f"--set=meerkat.state_dir={tmp_path}", "--set=c2s.listen=127.0.0.1:0",
                                             "--set=c2s.listen_tls=127.0.0.1:0", "--set=http.listen=127.0.0.1:0",
                                             "--set=graphql.user_listen=127.0.0.1:0"])
    node.ini.write_text(PRODUCTION.read_text())
    node.start()
    try:
        assert not re.search(" (warn|error) ", node.log()), node.log()
    finally:
        node.stop()


def options_of(section):
    run = subprocess.run([BUILD / "meerkatd", "--describe", section, "--set", f"meerkat.module_path={MODULES}"],
                         capture_output=True, text=True, check=True)
    text = run.stdout
    if section in ("meerkat", "log"):
        text = text.split(f"## Section [{section}]")[1].split("\n## ")[0]
    return {name: "" if preset == "empty" else preset.strip("`")
            for name, preset in re.findall(r"^\| `(\w+)` \| (?:[^|]|\\\|)* \| ([^|]*) \|", text, re.M)}


def test_what_it_shows_as_defaults_are_the_defaults():
    section, seen = None, 0
    for line in PRODUCTION.read_text().splitlines():
        if match := re.match(r"#? ?\[(\w+)\]", line):
            section = options_of(match.group(1))
        elif match := re.match(r"#(\w+) = ?(.*)", line):
            name, preset = match.groups()
            assert name in section, line
            assert section[name] == preset, line
            seen += 1
        elif match := re.match(r"(?:# )?(\w+) = ", line):
            assert not section or match.group(1) in section, line
    assert seen > 15


@pytest.mark.parametrize("page", ["README.md", "docs/kubernetes.md", "docs/modules/README.md",
                                  *(f"docs/admin/{p.name}" for p in (ROOT / "docs" / "admin").glob("*.md"))])
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", (ROOT / page).read_text())
    for link in links:
        assert ((ROOT / page).parent / link).exists(), link


OPTION = r"(?<![\w-])(--?[a-zA-Z][\w-]*)"


def page_of(name):
    """What the manual page says, without its markup."""
    return re.sub(r"\\f[BIRP]", "", (ROOT / "docs" / "man" / name).read_text().replace("\\-", "-"))


@pytest.mark.parametrize("program, page", [(BUILD / "meerkatctl", "meerkatctl.1"), (BUILD / "meerkatd", "meerkatd.8"),
                                           (BUILD / "meerkat-bench", "meerkat-bench.1"),
                                           (ROOT / "sdk" / "meerkat-dialogue", "meerkat-dialogue.1")])
def test_the_manual_page_has_the_options_of_help_and_no_other(program, page):
    help_ = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(OPTION, help_))
    assert len(options) > 2
    text = page_of(page)
    assert not options - set(re.findall(OPTION, text))
    for section in re.findall(r"^\.SH OPTIONS\n(.*?)^\.SH", text, re.M | re.S):
        assert not set(re.findall(OPTION, section)) - options


def test_the_manual_page_of_meerkatctl_has_its_commands_without_category():
    help_ = subprocess.run([BUILD / "meerkatctl", "--help", "--socket", "/nowhere"], capture_output=True, text=True).stdout
    commands = re.findall(r"^  (\w+) ", help_.split("Commands without category:")[1].split("Options:")[0], re.M)
    assert len(commands) > 5
    section = re.search(r"^\.SH COMMANDS WITHOUT CATEGORY\n(.*?)^\.SH", page_of("meerkatctl.1"), re.M | re.S).group(1)
    assert not set(commands) - set(re.findall(r"[a-z]+", section))


def test_the_map_of_the_code_is_complete():
    text = (ROOT / "docs/architecture.md").read_text()
    map_ = text[text.index("## The map"):text.index("## A message's way")]
    known = set(re.findall(r"`([^`]+)`", map_))
    core = {path.name for path in (ROOT / "core").glob("*.c")}
    modules = {path.parent.name for path in (ROOT / "modules").glob("*/*.c") if path.stem == path.parent.name}
    tests = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.glob("*.*"))}
    tools = {path.name for path in (ROOT / "tools").iterdir() if path.name != "__pycache__"}
    missing = {name for name in core | modules | tests | tools if name not in known}
    assert not missing
    # And nothing is in it that is not there.
    files = core | {path.name for path in (ROOT / "modules").glob("*/*.c")}
    assert {name for name in known if name.endswith(".c") and "/" not in name} <= files
