# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The container image: three containers, read-only and without rights, are one server on a network of their own."""
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import psycopg2
import pytest

import database
from network import Network
from support import BUILD, PATIENCE, Client, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT_MB = 60
UID = "12345"


def missing():
    if os.geteuid() != 0:
        return "containers of their own networks need root"
    programs = [p for p in ("podman", "buildah", "runc", "mmdebstrap") if not shutil.which(p)]
    return f"there is no {', '.join(programs)}" if programs else None


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "")


class Podman:
    """podman with images and containers of its own below a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.options = ["--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "overlay",
                        "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]

    def __call__(self, *args, ok=True, **more):
        run = subprocess.run(["podman", *self.options, *args], capture_output=True, text=True, timeout=120, **more)
        assert run.returncode == 0 or not ok, f"podman {args}: {run.stdout}{run.stderr}"
        return run.stdout

    def destroy(self):
        self("rm", "--all", "--force", "--time", "0", ok=False)

        # What cleans up behind a container comes a moment later, and mounts the storage once more.
        def gone():
            while subprocess.run(["umount", self.folder / "storage" / "overlay"], capture_output=True).returncode == 0:
                pass
            shutil.rmtree(self.folder, ignore_errors=True)
            return not self.folder.exists() and not subprocess.run(["pgrep", "-f", str(self.folder)], capture_output=True).stdout
        wait_for(gone, f"{self.folder} to be gone", PATIENCE * 2)


@pytest.fixture(scope="module")
def podman():
    # A short path: podman takes no others.
    made = Podman(pathlib.Path(tempfile.mkdtemp(prefix="meerkat-podman-")))
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def image(podman):
    """The name of the image, built here from the tree."""
    folder = podman.folder
    kept = ROOT / "var" / "image" / "base.tar"
    if kept.exists():
        os.link(kept, folder / "base.tar")
    run = subprocess.run([ROOT / "tools" / "image.sh", folder, BUILD], capture_output=True, text=True, timeout=500,
                         env=os.environ | {"MEERKAT_NO_REGISTRY": "1", "MEERKAT_NO_ARCHIVE": "1", "MEERKAT_IMAGE_RUN": str(folder / "run")})
    if "no registry answers" in run.stderr and not (folder / "base.tar").exists():
        pytest.skip(f"neither a registry nor a Debian mirror for the base: {run.stderr[-500:]}")
    assert run.returncode == 0, run.stderr
    print(run.stdout)
    return run.stdout.split(": ")[0], int((folder / "size").read_text())


class Server(database.Postgres):
    """A PostgreSQL in a namespace, for whoever is on its network."""

    def __init__(self, network, i):
        super().__init__()
        self.namespace = network.names[i]
        self.address = network.address(i)
        with open(self.folder / "data" / "postgresql.conf", "a") as conf:
            conf.write("listen_addresses = '*'\n")
        with open(self.folder / "data" / "pg_hba.conf", "a") as hba:
            hba.write("host all all 10.231.7.0/24 scram-sha-256\n")

    def run(self, program, *args):
        if not hasattr(self, "namespace"):
            return super().run(program, *args)
        user = pwd.getpwnam(self.user)
        subprocess.run(["ip", "netns", "exec", self.namespace, "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                        "--clear-groups", self.bin / program, *args], check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def connect(self, database="postgres"):
        return psycopg2.connect(host=str(self.folder), port=self.port, user="meerkat", password="hush-hush", dbname=database)


@pytest.fixture(scope="module")
def network():
    made = Network(4)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(network):
    made = Server(network, 3).start()
    yield made
    made.destroy()


class Container:
    def __init__(self, podman, image, network, server, base, i):
        self.podman, self.network, self.i = podman, network, i
        self.name = f"meerkat-{i}"
        address = network.address(i)
        settings = {
            "MEERKAT__NODE": self.name, "MEERKAT__WORKERS": "1", "MEERKAT_RDBMS__DRIVER": "pgsql",
            "MEERKAT_RDBMS_PGSQL__HOST": server.address, "MEERKAT_RDBMS_PGSQL__PORT": server.port,
            "MEERKAT_RDBMS_PGSQL__USER": "meerkat", "MEERKAT_RDBMS_PGSQL__DATABASE": base,
            "MEERKAT_RDBMS_PGSQL__PASSWORD": "file:/run/secrets/db", "MEERKAT_RDBMS_PGSQL__SSLMODE": "disable",
            "MEERKAT_ROUTER__TABLES": "cets", "MEERKAT_CETS__LISTEN": f"{address}:5290", "MEERKAT_CETS__ADVERTISE": address,
            "MEERKAT_CETS__SECRET": "a secret that all nodes share", "MEERKAT_REGISTER__ENABLED": "yes",
            "MEERKAT_DISCOVERY_RDBMS__INTERVAL": "300ms", "MEERKAT_AUTH_RDBMS__ITERATIONS": "4096"}
        secret = podman.folder / "db"
        secret.write_text("hush-hush\n")
        secret.chmod(0o444)
        environment = [part for k, v in settings.items() for part in ("--env", f"{k}={v}")]
        podman("run", "--detach", "--name", self.name, "--network", f"ns:/run/netns/{network.names[i]}", "--read-only",
               "--read-only-tmpfs=false", "--tmpfs", "/var/lib/meerkat:mode=1777", "--volume", f"{secret}:/run/secrets/db:ro",
               "--cap-drop", "all", "--security-opt", "no-new-privileges", "--user", UID, "--pids-limit", "50",
               "--ulimit", "nofile=1024:4096", "--ulimit", "nproc=512:512", *environment, image)

    def log(self):
        return self.podman("logs", self.name)

    def wait_log(self, text):
        wait_for(lambda: text in self.log(), f"'{text}' in the log of {self.name}:\n{self.log()[-3000:]}", PATIENCE * 2)

    def client(self, user=None):
        """On the container's own loopback, where TLS is not asked for."""
        with self.network.enter(self.i):
            client = Client(5222)
        return client.login(user) if user else client

    def register(self, user):
        with self.client() as client:
            answer = client.iq("set", "<query xmlns='jabber:iq:register'><username>" + user + "</username>"
                               "<password>secret</password></query>")
            assert "type='result'" in answer, answer


@pytest.fixture(scope="module")
def containers(podman, image, network, server):
    base = server.create("containers")
    made = [Container(podman, image[0], network, server, base, i) for i in range(3)]
    for container in made:
        container.wait_log("cets.in_sync")
        container.wait_log("is ready")
    return made


def test_the_image_is_small(image):
    assert image[1] <= LIMIT_MB


def test_users_of_three_read_only_containers_without_rights_chat(containers):
    for i in range(3):
        containers[i].register(f"u{i}")
    people = [containers[i].client(f"u{i}") for i in range(3)]
    for person in people:
        person.presence()
        person.sync()
    for a in people:
        for b in people:
            if a is not b:
                a.message(b.bare, f"from {a.jid} to {b.jid}")
                assert f"from {a.jid} to {b.jid}" in b.stanza("<body>")
    for person in people:
        person.close()


def test_it_has_no_rights_and_nothing_to_write_but_its_state(containers, podman):
    details = json.loads(podman("inspect", containers[0].name))[0]
    status = pathlib.Path(f"/proc/{details['State']['Pid']}/status").read_text()
    assert f"Uid:\t{UID}" in status and "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    for path in ("/x", "/etc/x", "/usr/local/x", "/tmp/x"):
        assert "Read-only file system" in subprocess.run(["podman", *podman.options, "exec", containers[0].name, "touch", path],
                                                         capture_output=True, text=True).stderr


def test_its_health_is_told_by_meerkatctl(containers, podman):
    podman("exec", containers[0].name, "meerkatctl", "ping")
    said = json.loads(podman("exec", containers[0].name, "meerkatctl", "cets", "systemInfo"))["data"]["cets"]["systemInfo"]
    assert said["joinedNodes"] == [c.name for c in containers]


def test_the_log_is_json_on_standard_output(containers):
    for line in containers[0].log().splitlines():
        assert json.loads(line)["level"]


def test_it_is_process_1_and_stops_when_told_to(containers, podman):
    details = json.loads(podman("inspect", containers[2].name))[0]
    assert details["Config"]["Entrypoint"][0].endswith("meerkatd") or "meerkatd" in details["Config"]["Entrypoint"]
    podman("stop", "--time", "20", containers[2].name)
    details = json.loads(podman("inspect", containers[2].name))[0]
    assert (details["State"]["ExitCode"], details["State"]["OOMKilled"]) == (0, False)
    assert "meerkatd has stopped" in containers[2].log()
