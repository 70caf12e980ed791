#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The node: process 1 of namespaces of its own (mounts, processes, network, host name), in which the whole of Kubernetes runs.

What it mounts, starts and configures ends with it: the kernel takes it away when this process dies. k8s.py starts it by
unshare, lays the network cable and waits.
"""
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

from common import (BIN, CGROUP, DNS_IP, HERE, LOGS, NODE, NODE_IP, PKI, PODS, REGISTRY, SERVICES, STATE)

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_PLUGINS = "/usr/lib/cni"
VOLATILE = STATE / "volatile"
# Folders whose place is fixed in somebody's source; here each is one of ours.
COVERED = ["/var/lib/kubelet", "/var/lib/cni", "/var/log"]


def log(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def command(*args):
    subprocess.run(args, check=True)


def cover_folders():
    """Our own /run and the like, which nobody else sees; in memory, so that nothing waits for the disk and all goes at once."""
    command("mount", "--make-rshared", "/")  # among ourselves: kubelet hands mounts on to pods
    command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    pathlib.Path("/run/lock").mkdir()
    VOLATILE.mkdir()
    command("mount", "-t", "tmpfs", "-o", "mode=755,size=8g", "tmpfs", str(VOLATILE))
    for folder in COVERED:
        own = VOLATILE / folder.strip("/").replace("/", "-")
        own.mkdir()
        command("mount", "--bind", str(own), folder)


def network():
    command("ip", "link", "set", "lo", "up")
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    while subprocess.run(["ip", "-4", "addr", "show", "dev", "eth0"], capture_output=True,
                         text=True).stdout.find(NODE_IP) < 0:
        time.sleep(0.05)


def write_json(name, what):
    path = STATE / name
    path.write_text(json.dumps(what, indent=1))
    return str(path)


def write_cni():
    """Every pod has a cable to the node and is reached through its router, so services work between pods of one node too."""
    folder = STATE / "cni"
    folder.mkdir()
    (folder / "10-meerkat.conflist").write_text(json.dumps({
        "cniVersion": "1.0.0", "name": "meerkat", "plugins": [
            {"type": "ptp", "mtu": 1500, "ipam": {"type": "host-local", "dataDir": str(VOLATILE / "addresses"),
                                                 "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}}]}))
    return folder


def write_containerd():
    # Two settings for machines with few rights: without CAP_SYS_RESOURCE no process may make itself less likely to be
    # killed, and not every kernel has the hugetlb controller.
    (STATE / "containerd.toml").write_text(f"""version = 2
root = "{VOLATILE}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{REGISTRY}/pause:1"
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{write_cni()}"
""")
    return str(STATE / "containerd.toml")


def write_kubelet():
    # Nothing forwards names to the outside: there is no outside.
    (STATE / "resolv.conf").write_text("")
    return write_json("kubelet.json", {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": str(PKI / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(PKI / "kubelet-serving.crt"), "tlsPrivateKeyFile": str(PKI / "kubelet-serving.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{CGROUP}", "failCgroupV1": False, "failSwapOn": False,
        "clusterDNS": [DNS_IP], "clusterDomain": "cluster.local", "resolvConf": str(STATE / "resolv.conf"),
        "volumePluginDir": str(VOLATILE / "volume-plugins"), "maxPods": 100,
        # The disk is shared with whoever else works on this machine: it is not ours to judge.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                         "imagefs.available": "0%", "imagefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99})


def write_proxy():
    # Zeros leave the settings of conntrack alone, which belong to the host.
    return write_json("proxy.json", {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
        "clientConnection": {"kubeconfig": str(STATE / "proxy.conf")}, "clusterCIDR": PODS, "hostnameOverride": NODE,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}})


def etcd():
    return ["etcd", "--data-dir", VOLATILE / "etcd", "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380"]


def apiserver():
    return [BIN / "kube-apiserver", f"--advertise-address={NODE_IP}", "--secure-port=6443",
            "--etcd-servers=http://127.0.0.1:2379", f"--service-cluster-ip-range={SERVICES}",
            f"--client-ca-file={PKI}/ca.crt", f"--tls-cert-file={PKI}/apiserver.crt", f"--tls-private-key-file={PKI}/apiserver.key",
            f"--kubelet-certificate-authority={PKI}/ca.crt", f"--kubelet-client-certificate={PKI}/apiserver-kubelet.crt",
            f"--kubelet-client-key={PKI}/apiserver-kubelet.key", "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={PKI}/tokens.pub", f"--service-account-signing-key-file={PKI}/tokens.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            f"--requestheader-client-ca-file={PKI}/front.crt", "--requestheader-allowed-names=front-proxy",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User", f"--proxy-client-cert-file={PKI}/front-proxy.crt",
            f"--proxy-client-key-file={PKI}/front-proxy.key", "--enable-aggregator-routing=true"]


def controller_manager():
    conf = STATE / "controller-manager.conf"
    # The autoscaler looks every 5 s and lets go of pods after 30 s, so that a test sees it within minutes.
    return [BIN / "kube-controller-manager", f"--kubeconfig={conf}", f"--authentication-kubeconfig={conf}",
            f"--authorization-kubeconfig={conf}", "--leader-elect=false", "--use-service-account-credentials=true",
            f"--service-account-private-key-file={PKI}/tokens.key", f"--root-ca-file={PKI}/ca.crt",
            f"--cluster-signing-cert-file={PKI}/ca.crt", f"--cluster-signing-key-file={PKI}/ca.key",
            f"--cluster-cidr={PODS}", f"--service-cluster-ip-range={SERVICES}",
            "--horizontal-pod-autoscaler-sync-period=5s", "--horizontal-pod-autoscaler-downscale-stabilization=30s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=20s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s"]


def scheduler():
    conf = STATE / "scheduler.conf"
    return [BIN / "kube-scheduler", f"--kubeconfig={conf}", f"--authentication-kubeconfig={conf}",
            f"--authorization-kubeconfig={conf}", "--leader-elect=false"]


def kubelet():
    return [BIN / "kubelet", f"--config={write_kubelet()}", f"--kubeconfig={STATE}/kubelet.conf",
            f"--hostname-override={NODE}", f"--node-ip={NODE_IP}"]


def proxy():
    return [BIN / "kube-proxy", f"--config={write_proxy()}"]


class Node:
    """Starts programs, starts anew what ends, and collects the dead (containers' shims become children of process 1)."""

    def __init__(self):
        self.running = {}  # pid: (name, command line)

    def start(self, name, words):
        words = [str(w) for w in words]
        with open(LOGS / f"{name}.log", "ab") as out:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/")
        self.running[process.pid] = (name, words)
        log(f"started {name}, process {process.pid}")

    def collect(self, block):
        """Takes in ended processes; ours are started again."""
        while True:
            try:
                pid, status = os.waitpid(-1, 0 if block else os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.running:
                name, words = self.running.pop(pid)
                log(f"{name} ended with status {os.waitstatus_to_exitcode(status)}; starting it again")
                time.sleep(1)
                self.start(name, words)

    def wait_for(self, condition, what):
        log(f"waiting for {what}")
        while not condition():
            self.collect(block=False)
            time.sleep(0.1)


def api_ready():
    context = ssl.create_default_context(cafile=PKI / "ca.crt")
    context.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
    try:
        with urllib.request.urlopen(f"https://{NODE_IP}:6443/readyz", context=context, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def main():
    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, lambda *_: sys.exit(0))
    os.environ["PATH"] = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    socket.sethostname(NODE)
    cover_folders()
    network()
    node = Node()
    node.start("etcd", etcd())
    node.start("containerd", ["containerd", "--config", write_containerd()])
    node.start("kube-apiserver", apiserver())
    node.wait_for(api_ready, "the API server")
    node.start("kube-controller-manager", controller_manager())
    node.start("kube-scheduler", scheduler())
    node.wait_for(lambda: os.path.exists(CONTAINERD_SOCKET), "containerd")
    node.start("kubelet", kubelet())
    node.start("kube-proxy", proxy())
    node.start("balancer", [sys.executable, HERE / "balancer.py"])
    node.collect(block=True)


main()
