# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Certificates and kubeconfigs of the test cluster. Made anew at every `up`, gone with `down`."""
import json

from common import ADMIN, API_IP, NODE, NODE_IP, PKI, STATE, run

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365"]


def authority(name):
    run("openssl", "req", "-x509", *CURVE, "-keyout", PKI / f"{name}.key", "-out", PKI / f"{name}.crt",
        "-subj", f"/CN=meerkat-test-{name}")


def certificate(name, subject, names=(), ca="ca"):
    alternative = ["-addext", "subjectAltName=" + ",".join(names)] if names else []
    run("openssl", "req", "-x509", *CURVE, "-CA", PKI / f"{ca}.crt", "-CAkey", PKI / f"{ca}.key",
        "-keyout", PKI / f"{name}.key", "-out", PKI / f"{name}.crt", "-subj", subject, *alternative,
        "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth")


def kubeconfig(path, name):
    """Points to the API server with the certificate NAME."""
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "meerkat-test",
        "clusters": [{"name": "meerkat-test", "cluster": {
            "server": f"https://{NODE_IP}:6443", "certificate-authority": str(PKI / "ca.crt")}}],
        "users": [{"name": name, "user": {
            "client-certificate": str(PKI / f"{name}.crt"), "client-key": str(PKI / f"{name}.key")}}],
        "contexts": [{"name": "meerkat-test", "context": {"cluster": "meerkat-test", "user": name}}]}, indent=1))
    path.chmod(0o600)


# Certificates that programs show to the API server: their names are what the built-in roles are bound to.
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE}",
    "balancer": "/O=system:masters/CN=balancer",
}


def make():
    PKI.mkdir(mode=0o700)
    authority("ca")
    authority("front")
    certificate("apiserver", "/CN=kube-apiserver", [
        f"IP:{NODE_IP}", f"IP:{API_IP}", "IP:127.0.0.1", "DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc", "DNS:kubernetes.default.svc.cluster.local"])
    certificate("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet")
    certificate("front-proxy", "/CN=front-proxy", ca="front")
    certificate("kubelet-serving", f"/O=system:nodes/CN=system:node:{NODE}", [f"DNS:{NODE}", f"IP:{NODE_IP}"])
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", PKI / "tokens.key")
    run("openssl", "pkey", "-in", PKI / "tokens.key", "-pubout", "-out", PKI / "tokens.pub")
    for name, subject in CLIENTS.items():
        certificate(name, subject)
        kubeconfig(ADMIN if name == "admin" else STATE / f"{name}.conf", name)
