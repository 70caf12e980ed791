# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Commands as a person would type them, with what they print: the tests' transcript."""
import json
import os
import subprocess
import sys
import time

from common import ADMIN, BIN, HERE

ENVIRONMENT = {**os.environ, "KUBECONFIG": str(ADMIN), "PATH": f"{BIN}:{os.environ['PATH']}"}
PATIENCE = float(os.environ.get("MEERKAT_PATIENCE", "180"))


def dev_k8s(*verb):
    """A verb of ./dev k8s, which must succeed."""
    show(f"$ ./dev k8s {' '.join(verb)}")
    subprocess.run([sys.executable, HERE / "k8s.py", *verb], check=True)


def use_namespace(folder, name):
    """Makes a namespace and a kubeconfig of our own in FOLDER that means it."""
    config = json.loads(ADMIN.read_text())
    config["contexts"][0]["context"]["namespace"] = name
    own = folder / "kubeconfig"
    own.write_text(json.dumps(config))
    own.chmod(0o600)
    ENVIRONMENT["KUBECONFIG"] = str(own)
    sh(f"kubectl create namespace {name}")


def show(text):
    print(text, file=sys.stderr, flush=True)


def quiet(line, text=None):
    """Runs a line of shell; returns what it printed, or None if it failed."""
    done = subprocess.run(["bash", "-c", line], input=text, capture_output=True, text=True, env=ENVIRONMENT)
    return done.stdout if done.returncode == 0 else None


def sh(line, text=None):
    """Runs a line of shell that must succeed, and shows both."""
    show(f"$ {line}")
    done = subprocess.run(["bash", "-c", line], input=text, capture_output=True, text=True, env=ENVIRONMENT)
    show((done.stdout + done.stderr).rstrip("\n"))
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def get(what):
    """kubectl get, as an object."""
    return json.loads(quiet(f"kubectl get {what} -o json") or "{}")


def wait_for(condition, what, patience=PATIENCE, pause=0.5):
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"waited {patience} s in vain for {what}"
        time.sleep(pause)


def field(path, what):
    """One value of an object, by a JSON path."""
    return quiet(f"kubectl get {what} -o jsonpath='{{{path}}}'") or ""


def balancer_address(service):
    return wait_for(lambda: field(".status.loadBalancer.ingress[0].ip", f"service/{service}"), f"an address of {service}")
