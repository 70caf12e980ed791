# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The Debian packages: built, installed, used, upgraded, removed and purged.

`./dev deb test` (MEERKAT_DEB=full) does it in a clean Debian made by mmdebstrap, and asks lintian; otherwise it is a chroot whose lower
layer is this machine, so that nothing is fetched, and what is built is not optimised. The build is in a folder of its own, out of a copy of
the tree.
"""
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from support import Node, wait_for
from test_container import Podman, missing

ROOT = pathlib.Path(__file__).resolve().parents[2]
FULL = os.environ.get("MEERKAT_DEB") == "full"
CLONE_NEWNS = 0x20000


def run(*args, **more):
    done = subprocess.run(args, capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{args}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder with the packages, built from the tree."""
    if missing := [p for p in ("dpkg-buildpackage", "dh", "fakeroot") if not shutil.which(p)]:
        pytest.skip(f"there is no {', '.join(missing)}: packages cannot be built here")
    out = tmp_path_factory.mktemp("deb")
    # Without optimisation it takes half the time.
    env = os.environ | {} if FULL else os.environ | {"DEB_BUILD_OPTIONS": "noopt nostrip noautodbgsym"}
    run(ROOT / "tools" / "deb.sh", out, env=env)
    return out


def deb(packages, name):
    return next(packages.glob(f"{name}_*.deb"))


class Root:
    """A Debian below a folder, into which one can install, and in which meerkatd can run. `written`: where that is found which was
    written into it; the same folder, or the upper layer of it."""

    def __init__(self, path, written=None):
        self.path, self.written = path, written or path
        # What a maintainer's script would start is started by the test.
        (path / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (path / "usr/sbin/policy-rc.d").chmod(0o755)

    def run(self, *args, **more):
        return run("chroot", self.path, *args, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                                                    "LC_ALL": "C.UTF-8"}, **more)

    def install(self, *files):
        for file in files:
            shutil.copy(file, self.path / "tmp")
        return self.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "--allow-downgrades",
                        *(f"/tmp/{f.name}" for f in files))

    def traces(self):
        """What there is of the packages outside of dpkg's own records and the test's."""
        found = run("find", self.written, "-xdev", "-iname", "*meerkat*", "-printf", "/%P\n").splitlines()
        return [f for f in found if not f.startswith(("/tmp/", "/proc/", "/var/log/", "/var/cache/"))]


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("only root can use a chroot")
    folder = tmp_path_factory.mktemp("debian")
    # The mounts are this process's alone, and go with it.
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        pytest.skip(f"no mount namespace here: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    root = folder / "root"
    root.mkdir()
    if FULL:
        run("mmdebstrap", "--quiet", "--variant=apt", "bookworm", root)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        shutil.copy("/etc/hosts", root / "etc/hosts")
        run("chroot", root, "apt-get", "update", "-qq")
    else:
        for name in ("upper", "work"):
            (folder / name).mkdir()
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                               f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work", root], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no overlay of the root here: {done.stderr}")
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    if not FULL:
        subprocess.run(["mount", "--rbind", "/dev", root / "dev"], check=True)
    made = Root(root, None if FULL else folder / "upper")
    yield made, set(made.traces())
    subprocess.run(["umount", "-R", folder], check=True)


class Installed(Node):
    """The installed server, started as its unit would: as user meerkat, with its own configuration."""

    def __init__(self, root, folder):
        self.root = root
        self.log_file = folder / "log"
        self.process = None
        self.hosts = re.search(r"^hosts = (\S+)", (root.path / "etc/meerkat/meerkat.ini").read_text(), re.M).group(1)

    def start(self):
        with open(self.log_file, "a") as log:
            self.mark = log.tell()
            self.process = subprocess.Popen(
                ["chroot", "--userspec=meerkat:meerkat", self.root.path, "/usr/sbin/meerkatd", "--set=c2s.listen=127.0.0.1:0",
                 "--set=c2s.listen_tls=127.0.0.1:0", "--set=http.listen=127.0.0.1:0", "--set=graphql.user_listen=127.0.0.1:0"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_log("is ready", patience=30)
        return self


def newer(package, folder):
    """The same package with a higher version."""
    run("dpkg-deb", "-R", package, folder / "tree")
    control = folder / "tree/DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+1", control.read_text(), flags=re.M))
    run("dpkg-deb", "-Znone", "-b", folder / "tree", folder / "newer.deb")
    return folder / "newer.deb"


def chat(node):
    with node.client("romeo") as romeo, node.client("juliet") as juliet:
        juliet.presence()
        juliet.sync()
        romeo.message(juliet.bare, "good night")
        assert "good night" in juliet.stanza("<body>")


def test_the_packages_are_installed_used_upgraded_removed_and_purged(packages, debian, tmp_path):
    root, before = debian
    etc, state = root.path / "etc/meerkat", root.path / "var/lib/meerkat"
    out = root.install(deb(packages, "meerkat"), *([deb(packages, "meerkat-modules-pgsql"), deb(packages, "meerkat-bench"),
                                                    deb(packages, "meerkat-dev")] if FULL else []))
    assert "made account admin@" in out
    assert (etc / "admin-password").stat().st_mode & 0o777 == 0o600
    assert root.run("stat", "-c", "%U %G %a", "/etc/meerkat", "/var/lib/meerkat", "/etc/meerkat/meerkat.ini").split("\n")[:3] == [
        "root meerkat 750", "meerkat meerkat 750", "root meerkat 640"]
    node = Installed(root, tmp_path)
    for user in ("romeo", "juliet"):
        root.run("meerkatd", "--run", "account", "add", f"{user}@{node.hosts}", input="secret\n")
    node.start()
    chat(node)
    node.stop()
    if FULL:
        root.run("meerkatd", "--set=rdbms.driver=pgsql", "--check")

    config = (etc / "meerkat.ini").read_bytes()
    root.install(newer(deb(packages, "meerkat"), tmp_path)) if not FULL else root.run("dpkg", "-i", "--force-depends", str(
        shutil.copy(newer(deb(packages, "meerkat"), tmp_path), root.path / "tmp/newer.deb")).removeprefix(str(root.path)))
    assert (etc / "meerkat.ini").read_bytes() == config
    node.start()
    chat(node)
    node.stop()

    root.run("dpkg", "--remove", "--force-depends", "meerkat")
    assert not (root.path / "usr/sbin/meerkatd").exists()
    assert (etc / "meerkat.ini").read_bytes() == config and (state / "meerkat.sqlite3").exists()

    names = run("dpkg-query", f"--admindir={root.path}/var/lib/dpkg", "-W", "-f=${Package}\n", "meerkat*").split()
    root.run("dpkg", "--purge", *names)
    assert set(root.traces()) - before == set()
    assert "meerkat" not in (root.path / "etc/passwd").read_text() + (root.path / "etc/group").read_text()


CHAT = """
import sys
sys.path.insert(0, sys.argv[1])
from support import Client
romeo, juliet = (Client(5222, host=sys.argv[2]).login(name) for name in ("romeo", "juliet"))
juliet.presence()
juliet.sync()
romeo.message(juliet.bare, "good night")
assert "good night" in juliet.stanza("<body>")
"""


@pytest.fixture
def booted(packages, debian):
    """podman, with a container `sd` in which systemd is process 1 and the package is installed; and its root folder."""
    path = debian[0].path.parent / "systemd"
    run("mmdebstrap", "--quiet", "--variant=apt", "--include=systemd,systemd-sysv,dbus", "bookworm", path)
    root = Root(path)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", path / "etc" / name)
    run("mount", "-t", "proc", "proc", path / "proc")
    root.run("apt-get", "update", "-qq")
    root.install(deb(packages, "meerkat"))
    run("umount", path / "proc")
    (path / "usr/sbin/policy-rc.d").unlink()
    podman = Podman(pathlib.Path(tempfile.mkdtemp(prefix="meerkat-podman-")))
    podman("run", "--detach", "--name", "sd", "--systemd=always", "--network", "none", "--ulimit", "nofile=1024:4096", "--ulimit",
           "nproc=512:512", "--rootfs", path, "/sbin/init")
    yield podman, path
    podman.destroy()


@pytest.mark.skipif(not FULL or bool(missing()), reason="./dev deb test boots a systemd")
def test_systemd_starts_it_at_boot_reloads_it_and_stops_it(booted):
    podman, path = booted
    wait_for(lambda: podman("exec", "sd", "systemctl", "is-active", "meerkat", ok=False) == "active\n", "systemd to have started it", 60)
    host = re.search(r"^hosts = (\S+)", (path / "etc/meerkat/meerkat.ini").read_text(), re.M).group(1)
    for user in ("romeo", "juliet"):
        podman("exec", "sd", "meerkatctl", "account", "registerUser", "--domain", host, "--username", user, "--password", "secret")
    run("nsenter", "-n", "-t", podman("inspect", "--format", "{{.State.Pid}}", "sd").strip(), "/usr/bin/python3", "-c", CHAT,
        ROOT / "tests" / "system", host)
    before = podman("exec", "sd", "systemctl", "show", "meerkat", "-p", "MainPID")
    podman("exec", "sd", "systemctl", "reload", "meerkat")
    wait_for(lambda: "config.reload" in podman("exec", "sd", "journalctl", "-u", "meerkat"), "the reload")
    assert podman("exec", "sd", "systemctl", "show", "meerkat", "-p", "MainPID") == before
    podman("exec", "sd", "systemctl", "stop", "meerkat")
    assert podman("exec", "sd", "systemctl", "show", "meerkat", "-p", "Result", "-p", "ExecMainStatus").split() == [
        "Result=success", "ExecMainStatus=0"]


@pytest.mark.skipif(not FULL, reason="./dev deb test asks lintian: what this test builds is not optimised")
def test_lintian_finds_nothing(packages):
    done = subprocess.run(["lintian", "--profile", "debian", "--display-info", next(packages.glob("*.changes"))],
                          capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)
