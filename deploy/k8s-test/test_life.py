# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What `./dev k8s up` and `down` do to the machine: `./dev k8s try`, when no cluster is up."""
import os
import pathlib
import signal
import subprocess

import pytest

import k8s
from shell import dev_k8s, quiet, wait_for


@pytest.fixture(autouse=True)
def no_cluster():
    if k8s.node_pid():
        pytest.skip("a cluster is up")


def lines(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True, shell=True)
    return sorted(done.stdout.splitlines())


def machine():
    """What a cluster could leave behind."""
    return {
        "mounts": lines("cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/(run|var|sys|opt|etc)|meerkat-k8s'"),
        "network": lines("ip -o link | cut -d: -f2; ip route"),
        "rules": [line for line in lines("iptables-save") if not line.startswith(("#", ":"))],
        "groups": lines("find /sys/fs/cgroup -maxdepth 2 -type d"),
        "folders": lines("ls /var/lib /var/log /run /etc /opt /usr/libexec"),
        "settings": k8s.read_sysctls(),
        "programs": [p for p in lines("ps -eo comm") if p.startswith(("kube", "etcd", "containerd", "coredns", "pause"))],
    }


def test_down_leaves_the_machine_as_it_was_before_up():
    before = machine()
    dev_k8s("up")
    assert machine() != before
    dev_k8s("up")
    dev_k8s("down")
    assert machine() == before
    dev_k8s("down")


def process_named(name):
    """The process of that name in the node's namespace."""
    wanted = os.readlink(f"/proc/{k8s.node_pid()}/ns/pid")
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() == name and os.readlink(folder / "ns/pid") == wanted:
                return int(folder.name)
        except OSError:
            continue
    return None


def test_a_part_that_dies_is_started_again():
    dev_k8s("up")
    try:
        first = process_named("kubelet")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: process_named("kubelet") not in (None, first), "another kubelet")
        wait_for(k8s.node_ready, "a Ready node")
    finally:
        dev_k8s("down")
    assert quiet("kubectl version --request-timeout=5s") is None
