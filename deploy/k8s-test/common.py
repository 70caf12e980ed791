# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Names, folders and addresses that the scripts of the test cluster share."""
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("MEERKAT_K8S_CACHE") or pathlib.Path.home() / ".cache/meerkat-k8s")
BIN = CACHE / "bin"
IMAGES = CACHE / "images"
STATE = pathlib.Path("/var/lib/meerkat-k8s")
PKI = STATE / "pki"
LOGS = STATE / "log"
ADMIN = STATE / "admin.conf"

VERSION = "1.34.4"
NODE = "meerkat-node"
CGROUP = "meerkat-k8s"
LINK = "meerkat-k8s"  # the host's end of the cable to the node

HOST_IP = "10.77.0.1"
NODE_IP = "10.77.0.2"
BALANCER = "10.77.0."  # services of type LoadBalancer get 10.77.0.100 and up
PODS = "10.78.0.0/16"
SERVICES = "10.79.0.0/16"
API_IP = "10.79.0.1"
DNS_IP = "10.79.0.10"

REGISTRY = "meerkat.test"  # a name that leads nowhere: images are imported, never pulled


def fail(text):
    sys.exit(f"k8s: {text}")


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def run(*args, **options):
    """Runs a command; its output shows only when it fails."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, **options)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, args))}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_for(condition, what, patience=180, pause=0.3):
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            fail(f"waited {patience} s in vain for {what}; logs are in {LOGS}")
        time.sleep(pause)
