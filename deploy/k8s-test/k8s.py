#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""A real Kubernetes of one node on this machine, for tests: `./dev k8s`.

up                 builds what is missing, starts the cluster; ends when the node is Ready and kube-system is healthy
down               ends all of it and takes away what it left on the machine
status             what runs
load FILE.tar ...  brings container images (docker or OCI archives) into the cluster
kubectl ARGUMENTS  kubectl of this cluster
helm ARGUMENTS     helm of this cluster
ctr ARGUMENTS      containerd's own client
env                prints what to say to a shell so that kubectl and helm are found: eval "$(./dev k8s env)"
try                tries the cluster itself with pods of busybox: services, names, exec, logs, scaling
test               Meerkat on it, as docs/kubernetes.md tells: needs ./dev image, which ./dev k8s test does first
build              builds the programs and images, and starts nothing
"""
import contextlib
import fcntl
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import images
import pki
import programs
from common import (ADMIN, BIN, CACHE, CGROUP, HERE, HOST_IP, LINK, LOGS, NODE, NODE_IP, PODS, SERVICES, STATE, fail, run, say,
                    wait_for)

PLAN = STATE / "node.json"
# Folders that must be there to be covered by ours; those that we make go again.
NEEDED_FOLDERS = ["/var/lib/kubelet", "/var/lib/cni"]
# The kubelet sets these for the whole machine.
SYSCTLS = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
           "kernel/keys/root_maxbytes"]


# -- the node as a process -------------------------------------------------------------------


def started_at(pid):
    """When a process began, in ticks: tells it from a later one of the same number."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def plan():
    return json.loads(PLAN.read_text()) if PLAN.exists() else None


def node_pid():
    """Process 1 of the node as we see it, if it runs."""
    p = plan()
    return p["pid"] if p and p.get("pid") and started_at(p["pid"]) == p["started"] else None


def in_node(*args):
    return ["nsenter", "-t", str(node_pid() or fail("there is no cluster: ./dev k8s up")), "-m", "-u", "-n", "-p", *map(str, args)]


def kubectl(*args, **options):
    return run(BIN / "kubectl", f"--kubeconfig={ADMIN}", *args, **options)


def answers(*args):
    """What kubectl prints, or None."""
    done = subprocess.run([BIN / "kubectl", f"--kubeconfig={ADMIN}", *args], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


@contextlib.contextmanager
def alone():
    """One at a time: there is one cluster on a machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another ./dev k8s to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock.fileno(), False)
        yield


# -- up ----------------------------------------------------------------------------------------


def check_machine():
    if os.geteuid() != 0:
        fail("the cluster needs root: it makes namespaces, mounts and control groups")
    missing = [p for p in ("etcd", "containerd", "ctr", "runc", "iptables", "ip", "unshare", "nsenter", "openssl", "gcc",
                           "mmdebstrap", "mount") if not shutil.which(p)]
    missing += [f for f in ("/usr/lib/cni/ptp", "/bin/busybox", "/dev/kmsg", "/sys/fs/cgroup") if not os.path.exists(f)]
    if missing:
        fail(f"missing on this machine: {', '.join(missing)}")
    routes = json.loads(run("ip", "-j", "route"))
    taken = [r["dst"] for r in routes if r["dst"].startswith(("10.77.", "10.78.", "10.79.")) and r.get("dev") != LINK]
    if taken:
        fail(f"this machine already has routes to {', '.join(taken)}, which the cluster uses")


def cgroup_folders():
    """Our folder in every hierarchy of version 1, or the one of version 2."""
    root = pathlib.Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / CGROUP]
    return [c / CGROUP for c in root.iterdir() if (c / "cgroup.procs").exists() and not c.is_symlink()]


def make_cgroups():
    for folder in cgroup_folders():
        folder.mkdir(exist_ok=True)
        if folder.parent.name == "cpuset":
            for file in "cpuset.cpus", "cpuset.mems":
                (folder / file).write_text((folder.parent / file).read_text())
        if (folder.parent / "cgroup.subtree_control").exists():
            wanted = " ".join("+" + c for c in (folder.parent / "cgroup.controllers").read_text().split())
            (folder.parent / "cgroup.subtree_control").write_text(wanted)


def read_sysctls():
    return {name: pathlib.Path("/proc/sys", name).read_text() for name in SYSCTLS if os.path.exists(f"/proc/sys/{name}")}


def start_node():
    """Starts node.py as process 1 of new namespaces and returns its number here."""
    with open(LOGS / "node.log", "ab") as out:
        # Not in this terminal's session, and no child of ours: it stays when we end.
        outer = subprocess.Popen(
            ["unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
             sys.executable, HERE / "node.py"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/")

    def child():
        if outer.poll() is not None:
            fail(f"the node ended at once: {(LOGS / 'node.log').read_text()[-2000:]}")
        found = pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        return int(found[0]) if found else None
    return wait_for(child, "the node's first process", 20, 0.02)


def lay_cable(pid):
    """A cable between this machine and the node, and the ways to its pods and services."""
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", pid)
    run("ip", "addr", "add", f"{HOST_IP}/24", "dev", LINK)
    run("ip", "link", "set", LINK, "up")
    inside = ["nsenter", "-t", str(pid), "-n", "ip"]
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "addr", "add", f"{NODE_IP}/24", "dev", "eth0")
    run(*inside, "route", "add", "default", "via", HOST_IP)
    for network in PODS, SERVICES:
        run("ip", "route", "add", network, "via", NODE_IP)


def load(*files):
    for file in files:
        run(*in_node("ctr", "--address", "/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import",
                     pathlib.Path(file).resolve()))


def containerd_answers():
    return subprocess.run(in_node("ctr", "version"), capture_output=True).returncode == 0


def node_ready():
    return '"True"' in (answers("get", "node", NODE, "-o", 'jsonpath="{.status.conditions[?(@.type==\'Ready\')].status}"') or "")


def show_trouble():
    """What a person would look at first."""
    for words in (["get", "nodes,pods", "-A", "-o", "wide"], ["get", "events", "-A", "--sort-by=.lastTimestamp"]):
        print((answers(*words) or "")[-3000:], file=sys.stderr)


def start_system_pods():
    for name in "coredns", "metrics-server":
        kubectl("apply", "-f", HERE / f"manifests/{name}.yaml")
    for name in "coredns", "metrics-server":
        if answers("rollout", "status", "-n", "kube-system", f"deployment/{name}", "--timeout=180s") is None:
            show_trouble()
            fail(f"{name} did not become ready; logs are in {LOGS}")
    wait_for(lambda: answers("top", "node", NODE), "the first measurements", 120)


def start():
    LOGS.mkdir(parents=True)
    pki.make()
    p = {"sysctls": read_sysctls(), "folders": [f for f in NEEDED_FOLDERS if not os.path.exists(f)]}
    PLAN.write_text(json.dumps(p))
    for folder in p["folders"]:
        os.mkdir(folder)
    make_cgroups()
    say("starting the node")
    p["pid"] = start_node()
    p["started"] = started_at(p["pid"])
    PLAN.write_text(json.dumps(p))
    lay_cable(p["pid"])
    wait_for(containerd_answers, "containerd")
    load(*(images.make(name) for name in images.MAKERS))
    wait_for(node_ready, "the node to be Ready")
    say("node Ready; starting names and metrics")
    start_system_pods()


def up():
    check_machine()
    with alone():
        build()
        if node_pid():
            say("the cluster is up already")
            return
        take_down()
        begun = time.monotonic()
        start()
        say(f"the cluster is up after {time.monotonic() - begun:.0f} s; to use it: eval \"$(./dev k8s env)\"")


# -- down --------------------------------------------------------------------------------------


def remove_cgroups():
    def remove(folder):
        for child in [c for c in folder.iterdir() if c.is_dir()]:
            remove(child)
        for _ in range(100):  # a group stays busy until the kernel has buried its last process
            try:
                folder.rmdir()
                return
            except OSError:
                time.sleep(0.05)
        say(f"could not remove {folder}")
    for folder in cgroup_folders():
        if folder.exists():
            remove(folder)


def take_down():
    p = plan()
    pid = node_pid()
    if pid:
        # Process 1 takes all processes, mounts, network devices and rules of its namespaces with it.
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: started_at(pid) is None, "the node to end", 60, 0.05)
    wait_for(lambda: not os.path.exists(f"/sys/class/net/{LINK}"), "the cable to go", 30, 0.05)
    remove_cgroups()
    if p:
        for name, value in p["sysctls"].items():
            path = pathlib.Path("/proc/sys", name)
            if path.read_text() != value:
                path.write_text(value)
        for folder in p["folders"]:
            if os.path.isdir(folder) and not os.listdir(folder):
                os.rmdir(folder)
    if STATE.exists():
        shutil.rmtree(STATE)


def down():
    if os.geteuid() != 0:
        fail("the cluster needs root")
    with alone():
        take_down()


# -- the other verbs -----------------------------------------------------------------------------


def build():
    programs.build_all()
    for name in images.MAKERS:
        images.make(name)


def status():
    if not node_pid():
        print("no cluster runs")
        return
    os.execv(BIN / "kubectl", ["kubectl", f"--kubeconfig={ADMIN}", "get", "nodes,deployments,statefulsets,pods,services", "-A", "-o", "wide"])


def environment():
    print(f"export KUBECONFIG={ADMIN}\nexport PATH={shlex.quote(str(BIN))}:$PATH")


def client(program, *args):
    os.environ["KUBECONFIG"] = str(ADMIN)
    os.execv(BIN / program, [program, *args])


def ctr(*args):
    words = in_node("ctr", "-n", "k8s.io", *args)
    os.execvp(words[0], words)


def pytest(*args):
    """Runs tests with their transcript on the terminal, in place of this process."""
    words = ["/usr/bin/python3", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *args]
    os.chdir(HERE)
    os.execv(words[0], words)


def try_cluster(*args):
    check_machine()
    pytest("test_life.py", "test_cluster.py", *args)


def test(*args):
    check_machine()
    pytest("test_meerkat.py", *args)


def main():
    verb, args = (sys.argv[1] if len(sys.argv) > 1 else "help"), sys.argv[2:]
    if verb in ("kubectl", "helm"):
        client(verb, *args)
    verbs = {"up": up, "down": down, "status": status, "load": load, "env": environment, "build": build, "ctr": ctr,
             "try": try_cluster, "test": test}
    if verb not in verbs:
        fail(f"the verbs are:\n{__doc__}")
    verbs[verb](*args)


if __name__ == "__main__":
    main()
