# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""`make install` on a machine: what goes where, the systemd unit, several nodes from one file, new certificates."""
import pathlib
import re
import shutil
import ssl
import subprocess

import pytest

from support import BUILD, MODULES, Node, wait_for
from cluster import metric

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The root folder below which everything was installed."""
    root = tmp_path_factory.mktemp("install")
    # Installing writes into the build folder, and other tests install as well.
    subprocess.run(["flock", BUILD / "config.status", "make", "-s", "-C", BUILD, "install", f"DESTDIR={root}"], check=True,
                   capture_output=True)
    return root / "usr" / "local"


def test_everything_is_in_its_place(installed):
    for file in ("sbin/meerkatd", "bin/meerkatctl", "bin/meerkat-bench", "lib/meerkat/c2s.so", "lib/meerkat/rdbms_pgsql.so", "include/meerkat/meerkat.h",
                 "lib/pkgconfig/meerkat.pc", "share/man/man8/meerkatd.8", "share/man/man5/meerkat.ini.5",
                 "share/man/man1/meerkat-bench.1", "share/man/man1/meerkatctl.1", "share/doc/meerkat/examples/meerkat.ini",
                 "lib/systemd/system/meerkat.service", "lib/sysusers.d/meerkat.conf", "share/bash-completion/completions/meerkatctl",
                 "share/zsh/site-functions/_meerkatctl", "share/fish/vendor_completions.d/meerkatctl.fish"):
        assert (installed / file).is_file(), file
    headers = {f.name for f in (ROOT / "include" / "meerkat").glob("*.h")}
    assert headers == {f.name for f in (installed / "include" / "meerkat").glob("*.h")}


def test_no_module_of_the_tests_is_installed(installed):
    modules = {f.name for f in (ROOT / "modules").iterdir() if (f / f"{f.name}.c").exists()}
    assert {f.stem for f in (installed / "lib" / "meerkat").glob("*.so")} == modules


def test_an_installed_server_starts(installed, tmp_path):
    run = subprocess.run([installed / "sbin" / "meerkatd", "--set", f"meerkat.module_path={installed}/lib/meerkat",
                          "--describe", "c2s"], capture_output=True, text=True)
    assert run.returncode == 0 and "`listen_tls`" in run.stdout


def test_packages_and_container_are_built_with_all_that_the_build_needs():
    needed = set(re.search(r'^build_packages="([^"]*)"', (ROOT / "dev").read_text(), re.M).group(1).split())
    needed.discard("libcmocka-dev")     # for unit tests alone; configure does without
    libraries = {p for p in needed if p.endswith("-dev")}
    assert len(libraries) > 8
    control = (ROOT / "debian" / "control").read_text().split("Standards-Version")[0]
    assert libraries <= set(re.findall(r"^ ([\w.+-]+-dev),", control, re.M))
    assert needed <= set((ROOT / "deploy" / "container" / "Containerfile").read_text().split("COPY . /src")[0].split())


@pytest.mark.parametrize("page", sorted(f.name for f in (ROOT / "docs" / "man").glob("*.[0-9]")))
def test_a_manual_page_has_no_mistake(page):
    run = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", ROOT / "docs" / "man" / page],
                         capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
    assert (run.returncode, run.stderr) == (0, "")


def test_every_option_of_the_command_line_is_in_the_manual():
    usage = subprocess.run([BUILD / "meerkatd", "--help"], capture_output=True, text=True, check=True).stdout
    manual = (ROOT / "docs" / "man" / "meerkatd.8").read_text().replace("\\-", "-")
    options = re.findall(r"(--[a-z-]+)", usage)
    assert len(options) > 8
    for option in options:
        assert option in manual, option


# -- systemd

UNIT_PROGRAM = shutil.which("systemd-analyze")


@pytest.fixture
def unit(installed):
    if not UNIT_PROGRAM:
        pytest.skip("there is no systemd-analyze")
    return installed / "lib" / "systemd" / "system" / "meerkat.service"


def test_the_unit_is_a_good_one(unit, installed, tmp_path):
    # Its program is where the test has installed it.
    copy = tmp_path / "meerkat.service"
    copy.write_text(unit.read_text().replace("/usr/local/sbin", f"{installed}/sbin"))
    run = subprocess.run([UNIT_PROGRAM, "verify", "--man=no", copy], capture_output=True, text=True)
    ours = [line for line in run.stderr.splitlines() if "meerkat" in line]
    assert ours == []


def test_the_unit_needs_no_program_that_the_smallest_debian_has_not(unit):
    programs = re.findall(r"^Exec\w+=[+!@:-]*(\S+)", unit.read_text(), re.M)
    assert len(programs) >= 2
    for program in programs:
        if not program.endswith("/sbin/meerkatd"):
            real = pathlib.Path(program).resolve()
            package = subprocess.run(["dpkg", "-S", real], capture_output=True, text=True).stdout or subprocess.run(
                ["dpkg", "-S", str(real).removeprefix("/usr")], capture_output=True, text=True, check=True).stdout
            essential = subprocess.run(["dpkg-query", "-W", "-f=${Essential}", package.split(":")[0]], capture_output=True, text=True)
            assert essential.stdout == "yes", program


def test_the_unit_is_as_closed_as_the_readme_says(unit):
    run = subprocess.run([UNIT_PROGRAM, "security", "--offline=yes", unit], capture_output=True, text=True)
    score = re.search(r"exposure level for meerkat.service: ([\d.]+)", run.stdout).group(1)
    assert float(score) <= 1.5
    assert f"`systemd-analyze security`: {score}" in (ROOT / "README.md").read_text()


# -- several nodes, one file

def test_several_nodes_run_from_one_file_with_set_alone(tmp_path):
    nodes = []
    try:
        for i in range(2):
            args = [f"--set={s}" for s in (
                f"meerkat.node=node{i}", f"meerkat.state_dir={tmp_path}/{i}", f"meerkat.module_path={MODULES}", "c2s.listen=127.0.0.1:0",
                "cets.listen=127.0.0.1:0", "http.listen=127.0.0.1:0", "graphql.user_listen=127.0.0.1:0", f"rdbms_sqlite.file={tmp_path}/shared.sqlite3", "discovery_rdbms.interval=300ms",
                "auth_rdbms.iterations=4096")]
            # The file is the one that is shipped, and nothing of it is changed.
            node = Node(tmp_path / str(i), "", args=args, kind="sqlite")
            node.ini = ROOT / "etc" / "cluster.ini"
            nodes.append(node.start(wait=False))
        for node in nodes:
            node.wait_log("is ready", patience=30)
            wait_for(lambda: metric(node, "cluster_nodes_joined") == 1, "the nodes to join")
        for user in ("romeo", "juliet"):
            subprocess.run([BUILD / "meerkatd", "--config", nodes[0].ini, *nodes[0].args, "--run", "account", "add", f"{user}@localhost"],
                           input="secret\n", text=True, check=True, capture_output=True)
        with nodes[0].client("romeo") as romeo, nodes[1].client("juliet") as juliet:
            for client in (romeo, juliet):
                client.presence()
                client.sync()
            wait_for(lambda: metric(nodes[0], "cluster_records") == 2, "both sessions to be known")
            romeo.message("juliet@localhost", "good night")
            assert "good night" in juliet.stanza("<body>")
    finally:
        for node in nodes:
            node.stop()


# -- certificates that are renewed

def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "privkey.pem",
                    "-out", folder / "fullchain.pem"], check=True, capture_output=True)


def serial_shown(node):
    pem = ssl.get_server_certificate(("127.0.0.1", node.port("c2s with TLS")))
    return subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, capture_output=True, text=True).stdout


@pytest.mark.parametrize("watch", ["0s", "100ms"])
def test_a_renewed_certificate_needs_only_a_reload_or_a_look(tmp_path, watch):
    """As certbot renews: the files behind the links `live/` change, and the deploy hook reloads; and as Kubernetes does, without."""
    live = tmp_path / "live"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        make_certificate(tmp_path / name, name)
    live.symlink_to(tmp_path / "first")
    node = Node(tmp_path / "node", f"""
[tls]
certificate = {live}/fullchain.pem
key = {live}/privkey.pem
watch = {watch}
[c2s]
listen = 127.0.0.1:0
listen_tls = 127.0.0.1:0
[sasl]
[auth_memory]
accounts = romeo:secret
""")
    node.start()
    try:
        assert "first" in serial_shown(node)
        (tmp_path / "next").symlink_to(tmp_path / "second")
        (tmp_path / "next").rename(live)
        if watch == "0s":
            node.reload()
        node.wait_log("tls.reload")
        wait_for(lambda: "second" in serial_shown(node), "the new certificate")
        assert node.log().count("tls.reload") == 1
    finally:
        node.stop()
