# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Builds the programs of Kubernetes, Helm, CoreDNS and the metrics server from their Go modules, once."""
import hashlib
import os
import re
import shutil
import subprocess

from common import BIN, CACHE, HERE, VERSION, fail, say

MAJOR, MINOR, _ = VERSION.split(".")


def facts(package, **values):
    return [f"-X {package}.{name}={value}" for name, value in values.items()]


# Folder under go/, what it makes, and what it is told at the link: its version, and Helm the one that it should think of without a
# cluster. Each is a module of its own: together they could not agree on the versions of what they share.
BUILDS = {
    "kubernetes": (["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"],
                   facts("k8s.io/component-base/version", gitVersion=f"v{VERSION}", gitMajor=MAJOR, gitMinor=MINOR,
                         gitTreeState="clean", gitCommit="unknown", buildDate="1970-01-01T00:00:00Z")),
    "coredns": (["coredns"], []),
    "metrics-server": (["metrics-server"], []),
    "helm": (["helm"], [word for package in ("chartutil", "lint/rules")
                        for word in facts(f"helm.sh/helm/v3/pkg/{package}", k8sVersionMajor=MAJOR, k8sVersionMinor=MINOR)]),
}


def stamp_of(folder, link):
    """Names what a build came from: another lock file, another build."""
    digest = hashlib.sha256(" ".join(link).encode())
    for file in sorted(folder.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def go_version():
    if not shutil.which("go"):
        return None
    found = re.search(r"go(\d+)\.(\d+)", subprocess.run(["go", "version"], capture_output=True, text=True).stdout)
    return (int(found[1]), int(found[2])) if found else None


def build(name):
    programs, link = BUILDS[name]
    folder = HERE / "go" / name
    stamp = CACHE / f"{name}.stamp"
    wanted = stamp_of(folder, link)
    if stamp.exists() and stamp.read_text() == wanted and all((BIN / p).exists() for p in programs):
        return
    found = go_version()
    if not found or found < (1, 24):
        fail(f"building {name} needs Go 1.24 or newer; there is {'Go %d.%d' % found if found else 'none'}")
    say(f"building {', '.join(programs)} (once; this takes minutes)")
    BIN.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(BIN), "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    what = "." if (folder / "main.go").exists() else "tool"
    jobs = os.environ.get("MEERKAT_K8S_JOBS")
    done = subprocess.run(["nice", "-n", "19", "go", "install", *(["-p", jobs] if jobs else []), "-trimpath", "-ldflags",
                           " ".join(["-s", "-w", *link]), what], cwd=folder, env=environment)
    if done.returncode != 0:
        fail(f"building {name} failed: see above")
    stamp.write_text(wanted)


def build_all():
    for name in BUILDS:
        build(name)
