#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Gives every service of type LoadBalancer an address of its own on the node. kube-proxy does the rest."""
import http.client
import json
import ssl
import subprocess
import time

from common import BALANCER, NODE_IP, PKI


class Api:
    def __init__(self):
        self.context = ssl.create_default_context(cafile=PKI / "ca.crt")
        self.context.load_cert_chain(PKI / "balancer.crt", PKI / "balancer.key")

    def ask(self, method, path, body=None, timeout=10):
        connection = http.client.HTTPSConnection(NODE_IP, 6443, context=self.context, timeout=timeout)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
        answer = connection.getresponse()
        if answer.status >= 300:
            raise OSError(f"{method} {path}: {answer.status} {answer.read()[:300]!r}")
        return answer


def key_of(service):
    return service["metadata"]["namespace"], service["metadata"]["name"]


def address_of(service):
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return given[0].get("ip")


def is_balanced(service):
    return service["spec"].get("type") == "LoadBalancer" and "deletionTimestamp" not in service["metadata"]


class Balancer:
    def __init__(self):
        self.api = Api()
        self.given = {}  # (namespace, name): address

    def free_address(self, wanted):
        if wanted and wanted.startswith(BALANCER) and wanted not in self.given.values():
            return wanted
        return next(a for a in (f"{BALANCER}{n}" for n in range(100, 250)) if a not in self.given.values())

    def give(self, service):
        key = key_of(service)
        if key not in self.given:
            address = self.free_address(address_of(service) or service["spec"].get("loadBalancerIP"))
            subprocess.run(["ip", "addr", "replace", f"{address}/32", "dev", "eth0"], check=True)
            self.given[key] = address
            print(f"{'/'.join(key)} has {address}", flush=True)
        if address_of(service) != self.given[key]:
            self.api.ask("PATCH", f"/api/v1/namespaces/{key[0]}/services/{key[1]}/status",
                         {"status": {"loadBalancer": {"ingress": [{"ip": self.given[key]}]}}}).read()

    def take(self, key):
        address = self.given.pop(key, None)
        if address:
            subprocess.run(["ip", "addr", "del", f"{address}/32", "dev", "eth0"], check=False)
            print(f"{'/'.join(key)} gave {address} back", flush=True)

    def look(self, service, gone=False):
        if is_balanced(service) and not gone:
            self.give(service)
        else:
            self.take(key_of(service))

    def run(self):
        """One list, then what changes, until the watch ends."""
        listed = json.load(self.api.ask("GET", "/api/v1/services"))
        present = {key_of(s) for s in listed["items"]}
        for key in [k for k in self.given if k not in present]:
            self.take(key)
        # Those that have an address keep it.
        for service in sorted(listed["items"], key=lambda s: not address_of(s)):
            self.look(service)
        version = listed["metadata"]["resourceVersion"]
        for line in self.api.ask("GET", f"/api/v1/services?watch=1&timeoutSeconds=300&resourceVersion={version}", timeout=320):
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                self.look(event["object"], gone=event["type"] == "DELETED")
            elif event["type"] == "ERROR":
                return


def main():
    balancer = Balancer()
    while True:
        try:
            balancer.run()
        except (OSError, http.client.HTTPException) as error:
            print(error, flush=True)
            time.sleep(1)


main()
