# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""TLS: STARTTLS and direct, certificates by host, reload, channel binding."""
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import time

import pytest

from support import Client, wait_for

HOSTS = "localhost, other.example"
CONFIG = """
[module:tls]
certificate = {dir}/main.pem
key = {dir}/main.key
[module:tls@other.example]
certificate = {dir}/other.pem
key = {dir}/other.pem
[module:c2s]
listen = 127.0.0.1:0
listen_tls = 127.0.0.1:0
starttls = required
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:ping]
"""


def certify(folder, name, host, days=2):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-days", str(days),
                    "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"],
                   check=True, capture_output=True)
    shutil.copy(folder / f"{name}.crt", folder / f"{name}.pem")
    if name == "other":
        with open(folder / "other.pem", "a") as out:
            out.write((folder / "other.key").read_text())


@pytest.fixture
def node(tmp_path, start_node):
    folder = tmp_path / "0"
    folder.mkdir()
    certify(folder, "main", "localhost")
    certify(folder, "other", "other.example")
    return start_node(CONFIG, folder=folder, hosts=HOSTS)


def trust(node, name, **more):
    context = ssl.create_default_context(cafile=node.folder / f"{name}.crt")
    for key, value in more.items():
        setattr(context, key, value)
    return context


def secure(node, name="main", host="localhost", **more):
    client = Client(node.port(), host)
    client.starttls(trust(node, name, **more))
    return client


def certificate_of(client):
    return client.socket.getpeercert(binary_form=True)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_starttls_protects_a_log_in(node, version):
    with secure(node, maximum_version=version) as alice:
        assert "<starttls" not in alice.features
        alice.login("alice")
        alice.sync()


def test_without_tls_nobody_logs_in_where_it_is_required(node):
    with node.client() as client:
        assert "<required/>" in client.features and "<mechanism" not in client.features
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>")
        client.closed("policy-violation|encryption-required|not-authorized")


def test_bytes_behind_starttls_are_not_taken_for_protected(node):
    with Client(node.port()) as client:
        client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>")
        client.until("<proceed[^>]*/>")
        try:
            client.socket = trust(node, "main").wrap_socket(client.socket, server_hostname="localhost")
            client.restart()
            assert "id='x'" not in client.buffer
        except (ssl.SSLError, ConnectionError, OSError):
            pass


def test_each_host_shows_its_own_certificate(node):
    with secure(node) as one, secure(node, "other", "other.example") as two:
        assert certificate_of(one) != certificate_of(two)


def test_direct_tls_speaks_xmpp_and_nothing_else(node):
    context = trust(node, "main")
    context.set_alpn_protocols(["xmpp-client"])
    with Client(node.port("c2s with TLS"), tls=context) as alice:
        assert alice.socket.selected_alpn_protocol() == "xmpp-client"
        alice.login("alice")
    context = trust(node, "main")
    context.set_alpn_protocols(["h2"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(node.port("c2s with TLS"), tls=context)


def first_answer(node, direct, nagle):
    """How long the first answer behind a handshake takes."""
    client = Client(node.port("c2s with TLS" if direct else "c2s"), stream=not direct)
    with client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not nagle)
        if not direct:
            client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            client.until("<proceed[^>]*/>")
        client.socket = trust(node, "main").wrap_socket(client.socket, server_hostname="localhost")
        assert client.socket.version() == "TLSv1.3"
        begin = time.monotonic()
        client.restart()
        return time.monotonic() - begin


@pytest.mark.parametrize("direct", [True, False])
def test_clients_that_join_small_packets_wait_no_longer_behind_the_handshake(node, direct):
    # The kernel would put off by 40 ms the acknowledgement that they wait for.
    pairs = [[first_answer(node, direct, nagle) for nagle in (True, False)] for _ in range(15)]
    assert statistics.median(a - b for a, b in pairs) < 0.025, pairs


def test_old_versions_are_refused(node):
    context = trust(node, "main")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    client = Client(node.port())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.starttls(context)
    client.drop()


def test_a_new_certificate_is_taken_without_a_restart_and_others_stay_connected(node):
    alice = secure(node).login("alice")
    before = certificate_of(alice)
    certify(node.folder, "main", "localhost")
    node.reload()
    wait_for(lambda: "certificates were read again" in node.log(), "the reload")
    with secure(node) as bob:
        assert certificate_of(bob) != before
    alice.sync()
    alice.drop()


def test_the_metrics_tell_when_the_first_certificate_ends(node):
    def days():
        return (node.metric("tls_certificate_end_seconds") - time.time()) / 86400

    assert 1.9 < days() < 2.1
    certify(node.folder, "main", "localhost", days=5)
    certify(node.folder, "other", "other.example", days=9)
    node.reload()
    wait_for(lambda: 4.9 < days() < 5.1, "the new certificates")


@pytest.mark.parametrize("spoil, complaint", [
    (lambda f: shutil.copy(f / "other.key", f / "main.key"), "does not belong|cannot use private key"),
    (lambda f: (f / "main.pem").write_text("nonsense"), "cannot use certificate"),
    (lambda f: os.remove(f / "main.key"), "cannot use private key '.*main.key': No such file or directory"),
])
def test_bad_files_leave_the_old_certificate_in_force(node, spoil, complaint):
    with secure(node) as one:
        before = certificate_of(one)
    shutil.copy(node.folder / "main.crt", node.folder / "old.crt")
    spoil(node.folder)
    try:
        node.reload()
    except AssertionError:
        pass
    wait_for(lambda: re.search(complaint, node.log()), "the complaint in the log")
    with secure(node, "old") as two:
        assert certificate_of(two) == before


def test_a_node_does_not_start_with_a_certificate_that_cannot_be_read(start_node, tmp_path):
    with pytest.raises(AssertionError, match="cannot use certificate"):
        start_node(CONFIG, folder=tmp_path / "bad", hosts=HOSTS)


def test_a_desk_has_a_certificate_of_its_own(start_node):
    node = start_node(CONFIG.replace("certificate = {dir}/main.pem\nkey = {dir}/main.key", "self_signed = yes")
                      .replace("[module:tls@other.example]\ncertificate = {dir}/other.pem\nkey = {dir}/other.pem\n", ""), hosts=HOSTS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client = Client(node.port())
    client.starttls(context)
    client.login("alice")
    client.drop()


def test_a_client_that_stalls_in_its_handshake_holds_nobody_up(node):
    stalled = socket.create_connection(("127.0.0.1", node.port("c2s with TLS")))
    stalled.sendall(b"\x16\x03\x01")
    with secure(node) as alice:
        alice.login("alice")
    stalled.close()


def test_a_client_that_never_ends_its_handshake_is_cut_off(tmp_path, start_node):
    folder = tmp_path / "own"
    folder.mkdir()
    certify(folder, "main", "localhost")
    certify(folder, "other", "other.example")
    node = start_node(CONFIG.replace("[module:c2s]", "[module:c2s]\nlogin_timeout = 1s"), folder=folder, hosts=HOSTS)
    stalled = [socket.create_connection(("127.0.0.1", node.port("c2s with TLS")), timeout=30) for _ in range(3)]
    stalled[1].sendall(b"\x16\x03\x01\x01")
    begun = Client(node.port())
    begun.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    begun.until("<proceed[^>]*/>")
    for s in *stalled, begun.socket:
        s.settimeout(30)
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
        s.close()


def test_channel_binding_is_offered_over_tls(node):
    with secure(node) as client:
        assert "SCRAM-SHA-256-PLUS" in client.features
        assert "tls-exporter" in client.features
