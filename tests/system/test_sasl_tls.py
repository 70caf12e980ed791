# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Log-in over real TLS: channel binding worked out by the client itself, client certificates, SASL2, resumption."""
import hashlib
import re
import socket
import ssl
import subprocess

import pytest
from OpenSSL import SSL

from support import END, PATIENCE, SASL, Client, auth, inner, scram
from test_sm import enable
from test_tls import certify, trust

CONFIG = """
[meerkat]
workers = 2
[c2s]
listen = 127.0.0.1:0
listen_tls = 127.0.0.1:0
starttls = required
client_certificates = yes
[tls]
certificate = {dir}/main.pem
key = {dir}/main.key
ca = {dir}/people.crt
[auth_memory]
accounts = alice:secret, bob:secret
[sasl]
attempts = 10
external = xmpp_address, email
[sm]
resume_timeout = 60s
"""
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
XMPP_ADDRESS = "otherName:1.3.6.1.5.5.7.8.5;UTF8:"


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def certify_person(folder, name, alternatives, issuer="people", days="2"):
    """NAME.pem: a client's certificate and key, issued by `issuer`."""
    key, request, out = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternatives}", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", folder / f"{issuer}.crt", "-CAkey", folder / f"{issuer}.key",
            "-CAcreateserial", "-days", days, "-copy_extensions", "copy", "-out", out)
    (folder / f"{name}.pem").write_text(out.read_text() + key.read_text())


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    from support import Node
    folder = tmp_path_factory.mktemp("sasl_tls")
    certify(folder, "main", "localhost")
    for issuer in ("people", "strangers"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={issuer}", "-addext", "keyUsage=keyCertSign", "-days", "2", "-keyout",
                folder / f"{issuer}.key", "-out", folder / f"{issuer}.crt")
    node = Node(folder, CONFIG).start()
    yield node
    node.stop()


def secure(node, version=V13, certificate=None, header=""):
    context = trust(node, "main", minimum_version=version, maximum_version=version)
    if certificate:
        context.load_cert_chain(node.folder / f"{certificate}.pem")
    client = Client(node.port())
    if header:
        plain = client.header
        client.header = lambda: plain().replace(" to=", f" {header} to=")
    client.starttls(context)
    return client


def end_point(client):
    """RFC 5929 §4.1; our certificates are signed with SHA-256."""
    return hashlib.sha256(client.socket.getpeercert(binary_form=True)).digest()


def unique(client):
    return client.socket.get_channel_binding("tls-unique")


class Exporting:
    """A TLS connection of pyOpenSSL, for the standard library exports no keying material (RFC 9266)."""

    def __init__(self, port):
        self.tcp = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.tls.set_connect_state()
        self.run(self.tls.do_handshake)

    def run(self, step, *args):
        while True:
            try:
                result = step(*args)
            except SSL.WantReadError:
                result = None
            while True:
                try:
                    self.tcp.sendall(self.tls.bio_read(65536))
                except SSL.WantReadError:
                    break
            if result is not None or step == self.tls.do_handshake and self.tls.get_finished():
                return result
            data = self.tcp.recv(65536)
            if not data:
                return b""
            self.tls.bio_write(data)

    def sendall(self, data):
        self.run(self.tls.send, data)

    def recv(self, size):
        return self.run(self.tls.recv, size)

    def settimeout(self, seconds):
        self.tcp.settimeout(seconds)

    def close(self):
        self.tcp.close()

    def exported(self):
        return self.tls.export_keying_material(b"EXPORTER-Channel-Binding", 32)


def exporting(node):
    client = Client(node.port(), stream=False)
    client.restart()
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    client.until("<proceed[^>]*/>")
    tcp, port = client.socket, None
    wrapped = Exporting.__new__(Exporting)
    wrapped.tcp = tcp
    wrapped.tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    wrapped.tls.set_connect_state()
    wrapped.run(wrapped.tls.do_handshake)
    client.socket = wrapped
    client.features = client.restart()
    return client


BINDINGS = {
    "tls-exporter in TLS 1.3": (exporting, "tls-exporter", lambda c: c.socket.exported()),
    "tls-server-end-point in TLS 1.3": (lambda n: secure(n, V13), "tls-server-end-point", end_point),
    "tls-server-end-point in TLS 1.2": (lambda n: secure(n, V12), "tls-server-end-point", end_point),
    "tls-unique in TLS 1.2": (lambda n: secure(n, V12), "tls-unique", unique),
}


@pytest.mark.parametrize("sasl2", [False, True], ids=["sasl", "sasl2"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512-PLUS"])
@pytest.mark.parametrize("binding", BINDINGS)
def test_a_log_in_is_bound_to_its_channel(node, binding, mechanism, sasl2):
    connect, kind, data = BINDINGS[binding]
    with connect(node) as client:
        assert f"<mechanism>{mechanism}</mechanism>" in client.features
        assert f"<channel-binding type='{kind}'/>" in client.features
        assert "<success" in scram(client, mechanism, "alice", "secret", f"p={kind},,", data(client), sasl2)


@pytest.mark.parametrize("binding", BINDINGS)
def test_somebody_in_the_middle_is_found_by_the_binding(node, binding):
    connect, kind, data = BINDINGS[binding]
    with connect(node) as client:
        right = data(client)
        for wrong in (bytes([right[0] ^ 1]) + right[1:], right[:-1], right + b"\0", b""):
            answer = scram(client, "SCRAM-SHA-256-PLUS", "alice", "secret", f"p={kind},,", wrong)
            assert "<not-authorized/>" in answer, answer
        assert "<success" in scram(client, "SCRAM-SHA-256-PLUS", "alice", "secret", f"p={kind},,", right)


def test_the_data_of_another_connection_is_of_no_use(node):
    with secure(node, V12) as one, secure(node, V12) as two:
        assert "<not-authorized/>" in scram(one, "SCRAM-SHA-256-PLUS", "alice", "secret", "p=tls-unique,,",
                                            unique(two))


def test_a_downgrade_is_noticed(node):
    """RFC 5802 §6: 'y' says that the server seemed to have no channel binding."""
    with secure(node) as client:
        answer = scram(client, "SCRAM-SHA-256", "alice", "secret", "y,,")
        assert "<not-authorized/>" in answer and "channel binding was offered" in answer
        assert "<success" in scram(client, "SCRAM-SHA-256", "alice", "secret", "n,,")


@pytest.mark.parametrize("mechanism, gs2", [
    ("SCRAM-SHA-256-PLUS", "n,,"), ("SCRAM-SHA-256-PLUS", "y,,"), ("SCRAM-SHA-256", "p=tls-server-end-point,,"),
    ("SCRAM-SHA-256-PLUS", "p=tls-unique,,"), ("SCRAM-SHA-256-PLUS", "p=no-such-type,,"),
    ("SCRAM-SHA-256-PLUS", "p=,,")])
def test_a_flag_that_does_not_fit_is_refused(node, mechanism, gs2):
    with secure(node, V13) as client:
        assert "tls-unique" not in client.features
        assert "<malformed-request/>" in scram(client, mechanism, "alice", "secret", gs2, end_point(client))


# -- certificates of clients (XEP-0178)

def external(client, authzid="", sasl2=False):
    # RFC 6120 §6.4.2: an empty initial response is "=".
    text = auth("EXTERNAL", authzid, sasl2)
    client.send(text if authzid or sasl2 else text.replace("></auth>", ">=</auth>"))
    return client.until(END)


def offers_external(client):
    return "<mechanism>EXTERNAL</mechanism>" in client.features


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("names, authzid, user", [
    (XMPP_ADDRESS + "alice@localhost", "", "alice"),
    (XMPP_ADDRESS + "alice@localhost", "alice@localhost", "alice"),
    ("email:bob@localhost", "", "bob"),
    (f"{XMPP_ADDRESS}alice@elsewhere.example,{XMPP_ADDRESS}bob@localhost,email:alice@localhost", "", "bob"),
    (f"{XMPP_ADDRESS}alice@localhost,{XMPP_ADDRESS}bob@localhost", "bob@localhost", "bob"),
])
def test_a_certificate_is_as_good_as_a_password(node, version, names, authzid, user):
    certify_person(node.folder, "person", names)
    for sasl2 in (False, True):
        with secure(node, version, "person") as client:
            assert offers_external(client)
            answer = external(client, authzid, sasl2)
            assert "<success" in answer
            if sasl2:
                assert f"<authorization-identifier>{user}@localhost</authorization-identifier>" in answer
            else:
                client.features = client.restart()
                assert f"<jid>{user}@localhost/" in client.iq(
                    "set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")


@pytest.mark.parametrize("names, authzid, condition", [
    (XMPP_ADDRESS + "alice@localhost", "bob@localhost", "invalid-authzid"),
    (XMPP_ADDRESS + "alice@localhost", "alice@localhost/home", "invalid-authzid"),
    (XMPP_ADDRESS + "alice@localhost", "@@", "invalid-authzid"),
    (f"{XMPP_ADDRESS}alice@localhost,{XMPP_ADDRESS}bob@localhost", "", "invalid-authzid"),
    (XMPP_ADDRESS + "nobody@localhost", "", "not-authorized"),
    (f"{XMPP_ADDRESS}bob@localhost,email:alice@localhost", "alice@localhost", "invalid-authzid"),
])
def test_a_certificate_is_good_for_its_own_name_alone(node, names, authzid, condition):
    certify_person(node.folder, "person", names)
    with secure(node, V13, "person") as client:
        assert f"<{condition}/>" in external(client, authzid)
        client.login("bob")


@pytest.mark.parametrize("names", [XMPP_ADDRESS + "alice@elsewhere.example", "DNS:localhost",
                                   XMPP_ADDRESS + "localhost", XMPP_ADDRESS + "alice@localhost/home"])
def test_a_certificate_without_an_account_of_this_host_is_not_asked_for(node, names):
    certify_person(node.folder, "person", names)
    with secure(node, V13, "person") as client:
        assert not offers_external(client)
        assert "<invalid-mechanism/>" in external(client, "alice@localhost")


def test_without_a_certificate_one_logs_in_by_password(node):
    with secure(node) as client:
        assert not offers_external(client)
        assert "<invalid-mechanism/>" in external(client, "alice@localhost")
        client.login("alice")


def test_a_certificate_that_nobody_vouches_for_gets_no_connection(node):
    certify_person(node.folder, "fake", XMPP_ADDRESS + "alice@localhost", issuer="strangers")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        secure(node, V12, "fake")
    # TLS 1.3: the client hears of it with the first bytes it reads.
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        secure(node, V13, "fake")


# -- SASL2

def sasl2_bind(client, user="alice", more="<bind xmlns='urn:xmpp:bind:0'><tag>t</tag></bind>"):
    return scram(client, "SCRAM-SHA-256-PLUS", user, "secret", "p=tls-server-end-point,,", end_point(client), True,
                 more)


def test_one_round_trip_authenticates_and_binds(node):
    with secure(node, header="from='alice@localhost'") as client:
        answer = sasl2_bind(client)
        client.jid = re.search("<authorization-identifier>(alice@localhost/t[^<]*)<", answer).group(1)
        assert "<bound xmlns='urn:xmpp:bind:0'" in answer
        client.until("</stream:features>|<stream:features/>")
        client.message(client.jid, "to myself")
        assert f"from='{client.jid}'" in client.stanza("to myself")


@pytest.mark.parametrize("claim", ["bob@localhost", "alice@elsewhere.example", "localhost"])
def test_nobody_becomes_somebody_else_than_the_header_says(node, claim):
    with secure(node, header=f"from='{claim}'") as client:
        answer = sasl2_bind(client)
        assert "<invalid-authzid" in answer and "<success" not in answer


def test_the_header_of_the_server_names_the_client(node):
    """RFC 6120 §4.7.2."""
    with secure(node, header="from='Alice@localhost/x'") as client:
        assert re.search("<stream:stream [^>]*to='alice@localhost'", client.features)
        client.login("alice")
        assert re.search("<stream:stream [^>]*to='alice@localhost'", client.features)
    with secure(node) as client:
        assert not re.search("<stream:stream [^>]*\\bto=", client.features)


# -- resumption (XEP-0198): the connection goes to the session, at whichever worker that is

@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("sasl2", [False, True], ids=["sasl", "sasl2"])
def test_a_session_is_resumed_over_tls_at_either_worker(node, version, sasl2):
    """Connections are spread over two workers: of eight resumptions some come in at the other one."""
    bob = secure(node).login("bob", resource="sender")
    alice = secure(node, version).login("alice", resource="moves")
    previd = enable(alice)
    # What was received since `enable`, as the client counts it.
    received = 0
    for turn in range(8):
        alice.drop()
        body = f"{version} {sasl2} {turn}"
        bob.message("alice@localhost/moves", body)
        bob.sync()
        alice = secure(node, version)
        request = f"<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='{received}'/>"
        if sasl2:
            assert "<resumed" in sasl2_bind(alice, more=request)
        else:
            alice.authenticate("alice")
            alice.send(request)
            alice.until("<resumed[^>]*/>")
        assert body in alice.stanza("<message")
        received += 1
        alice.message("bob@localhost/sender", f"got {turn}")
        bob.stanza(f"<body>got {turn}")
    alice.close()
    bob.drop()


@pytest.mark.parametrize("alpn", [True, False])
def test_direct_tls_binds_as_well(node, alpn):
    context = trust(node, "main", minimum_version=V12, maximum_version=V12)
    if alpn:
        context.set_alpn_protocols(["xmpp-client"])
    with Client(node.port("c2s with TLS"), tls=context) as client:
        assert "<success" in scram(client, "SCRAM-SHA-256-PLUS", "alice", "secret", "p=tls-unique,,", unique(client))
        assert SASL not in client.restart()
