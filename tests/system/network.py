# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Network namespaces for nodes: each has an address of its own, and packets between any two can be dropped."""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def run(*args):
    subprocess.run(args, check=True, capture_output=True)


def setns(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """A bridge in a namespace of its own, and `count` namespaces that hang on it; nothing else of the machine changes. The hub has an address
    too, for what all are to reach."""

    HUB = "10.231.7.254"

    def __init__(self, count):
        self.hub = f"mk{os.getpid()}-hub"
        self.names = [f"mk{os.getpid()}-{i}" for i in range(count)]
        self.made = []
        try:
            self.make(self.hub)
            self.inside(self.hub, "ip", "link", "add", "br0", "type", "bridge")
            self.inside(self.hub, "ip", "address", "add", f"{self.HUB}/24", "dev", "br0")
            self.inside(self.hub, "ip", "link", "set", "br0", "up")
            for i, name in enumerate(self.names):
                self.make(name)
                self.inside(self.hub, "ip", "link", "add", f"v{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
                self.inside(self.hub, "ip", "link", "set", f"v{i}", "master", "br0", "up")
                self.inside(name, "ip", "address", "add", f"{self.address(i)}/24", "dev", "eth0")
                self.inside(name, "ip", "link", "set", "eth0", "up")
        except BaseException:
            self.remove()
            raise

    def make(self, name):
        run("ip", "netns", "add", name)
        self.made.append(name)
        self.inside(name, "ip", "link", "set", "lo", "up")

    def address(self, i):
        return f"10.231.7.{i + 1}"

    def inside(self, name, *command):
        run("ip", "netns", "exec", name, *command)

    def wrapper(self, i):
        return ("ip", "netns", "exec", self.names[i])

    @contextlib.contextmanager
    def enter(self, i=None):
        """Sockets that are made inside belong to node i's namespace (None: the hub's) for ever, and so do processes that are started."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.hub if i is None else self.names[i]}", os.O_RDONLY)
        try:
            setns(there)
            try:
                yield
            finally:
                setns(home)
        finally:
            os.close(home)
            os.close(there)

    def deaf(self, i, to):
        """Node i does not hear node `to` any more; what it says still arrives there."""
        self.inside(self.names[i], "iptables", "-A", "INPUT", "-s", self.address(to), "-j", "DROP")

    def deaf_to_hub(self, i):
        """Node i does not hear the hub any more."""
        self.inside(self.names[i], "iptables", "-A", "INPUT", "-s", self.HUB, "-j", "DROP")

    def cut(self, i):
        """Nobody reaches node i, nor it anybody."""
        for other in range(len(self.names)):
            if other != i:
                self.deaf(i, other)
                self.deaf(other, i)

    def lossy(self, i, share):
        """Of the packets that come to node i this share is dropped."""
        self.inside(self.names[i], "iptables", "-A", "INPUT", "-i", "eth0", "-m", "statistic", "--mode", "random",
                    "--probability", str(share), "-j", "DROP")

    def heal(self):
        for name in self.names:
            self.inside(name, "iptables", "-F", "INPUT")

    def remove(self):
        while self.made:
            run("ip", "netns", "del", self.made.pop())
