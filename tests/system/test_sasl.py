# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Log-in: RFC 6120 §6, XEP-0388, XEP-0386, over real sockets."""
import re

import pytest

from support import END, HASHES, SASL, SASL2, Client, auth, b64, inner, scram, wait_for

CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = juliet:r0m30myr0m30
[module:sasl]
"""


HOSTS = "localhost, guests.example"
CONFIG += """
[module:auth_anonymous]
[module:auth_anonymous@guests.example]
enabled = yes
"""


def plain(client, text, sasl2=False, more=""):
    client.send(auth("PLAIN", text, sasl2, more))
    return client.until(END)


@pytest.fixture
def client(node):
    client = Client(node.port())
    yield client
    client.socket.close()


def test_features(client):
    for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
        assert f"<mechanism>{mechanism}</mechanism>" in client.features
    order = re.findall("<mechanism>([^<]*)</mechanism>", client.features)
    assert order.index("SCRAM-SHA-512") < order.index("SCRAM-SHA-1") < order.index("PLAIN")
    assert "urn:xmpp:bind:0" in client.features


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize("gs2", ["n,,", "y,,", "n,a=juliet@{host},"])
def test_scram(client, mechanism, gs2):
    gs2 = gs2.format(host=client.host)
    assert "<success" in scram(client, mechanism, "juliet", "r0m30myr0m30", gs2)
    features = client.restart()
    assert "urn:ietf:params:xml:ns:xmpp-bind" in features and SASL not in features


BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{}</bind>"


def test_a_session_of_old_clients_is_begun_and_means_nothing(client):
    """RFC 3921 §3: clients of before RFC 6121 ask for one after binding."""
    assert "<success" in plain(client, "\0juliet\0r0m30myr0m30")
    ns = "urn:ietf:params:xml:ns:xmpp-session"
    assert f"<session xmlns='{ns}'><optional/></session>" in client.restart()
    assert "<jid>juliet@localhost/old</jid>" in client.iq("set", BIND.format("<resource>old</resource>"))
    for _ in range(2):
        assert "type='result'" in client.iq("set", f"<session xmlns='{ns}'/>")
    client.sync()


def test_a_resource_is_made_up_where_none_is_asked_for_and_bound_once(client):
    assert "<success" in plain(client, "\0juliet\0r0m30myr0m30")
    client.restart()
    assert re.search("<jid>juliet@localhost/[^<]{10,}</jid>", client.iq("set", BIND.format("")))
    again = client.iq("set", BIND.format("<resource>another</resource>"))
    assert "type='error'" in again and "<not-allowed" in again


def test_plain(client):
    assert "<success" in plain(client, "\0juliet\0r0m30myr0m30")
    client.restart()


def test_challenge_without_initial_response(client):
    client.send(auth("PLAIN"))
    assert re.search("<challenge[^>]*/>", client.until("<challenge[^>]*/>"))
    text = b64("\0juliet\0r0m30myr0m30")
    client.send(f"<response xmlns='{SASL}'>{text}</response>")
    assert "<success" in client.until(END)


@pytest.mark.parametrize("xml, condition", [
    (auth("FOO"), "invalid-mechanism"),
    (f"<auth xmlns='{SASL}'/>", "invalid-mechanism"),
    (auth("SCRAM-SHA-1-PLUS", "p=tls-exporter,,n=a,r=b"), "invalid-mechanism"),
    (f"<auth xmlns='{SASL}' mechanism='PLAIN'>!</auth>", "incorrect-encoding"),
    (f"<auth xmlns='{SASL}' mechanism='PLAIN'>=</auth>", "malformed-request"),
    (auth("PLAIN", "juliet\0r0m30myr0m30"), "malformed-request"),
    (auth("PLAIN", "\0juliet\0wrong"), "not-authorized"),
    (auth("PLAIN", "\0nobody\0wrong"), "not-authorized"),
    (auth("PLAIN", "romeo@example.net\0juliet\0r0m30myr0m30"), "invalid-authzid"),
    (auth("SCRAM-SHA-1", "n,,n=juliet"), "malformed-request"),
    (auth("SCRAM-SHA-1", "p=tls-exporter,,n=juliet,r=x"), "malformed-request"),
    (auth("SCRAM-SHA-1", "n,,n=a@b,r=x"), "not-authorized"),
    (f"<abort xmlns='{SASL}'/>", "aborted"),
    (f"<response xmlns='{SASL}'/>", "malformed-request"),
])
def test_failure_then_success(client, xml, condition):
    client.send(xml)
    answer = client.until(END)
    assert f"<{condition}" in answer and SASL in answer
    assert "<success" in scram(client, "SCRAM-SHA-256", "juliet", "r0m30myr0m30")


@pytest.mark.parametrize("mangle", [lambda f: f.replace("c=biws", "c=eSws"), lambda f: f + "x"])
def test_scram_tampered(client, mangle):
    answer = scram(client, "SCRAM-SHA-1", "juliet", "r0m30myr0m30", mangle=mangle)
    assert "<not-authorized" in answer


def test_unknown_account_is_not_told(client):
    salts = []
    for _ in range(2):
        client.send(auth("SCRAM-SHA-256", "n,,n=nobody,r=abc"))
        salts.append(inner(client.until("</challenge>"), "challenge").split(b",")[1:])
        client.send(f"<abort xmlns='{SASL}'/>")
        client.until(END)
    assert salts[0] == salts[1]
    assert "<not-authorized" in scram(client, "SCRAM-SHA-256", "nobody", "x")


def test_too_many_attempts(client):
    for _ in range(5):
        plain(client, "\0juliet\0wrong")
    assert "<policy-violation" in client.until("</stream:stream>")


def test_sasl2_bind2(client):
    more = ("<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>test</software>"
            "</user-agent><bind xmlns='urn:xmpp:bind:0'><tag>Test</tag></bind>")
    answer = scram(client, "SCRAM-SHA-256", "juliet", "r0m30myr0m30", sasl2=True, more=more)
    jid = re.search("<authorization-identifier>([^<]*)<", answer).group(1)
    assert jid.startswith(f"juliet@{client.host}/Test/")
    assert "urn:xmpp:bind:0" in answer
    assert "xmpp-bind" not in client.until("</stream:features>|<stream:features/>")
    client.send(f"<iq type='get' id='p' to='{client.host}'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert jid in client.until("</iq>|<iq [^>]*/>")


def test_sasl2_without_bind(client):
    answer = plain(client, "\0juliet\0r0m30myr0m30", sasl2=True)
    assert f"<authorization-identifier>juliet@{client.host}<" in answer
    assert "urn:ietf:params:xml:ns:xmpp-bind" in client.until("</stream:features>")


def test_sasl2_failure(client):
    answer = plain(client, "\0juliet\0wrong", sasl2=True)
    assert f"<not-authorized xmlns='{SASL}'" in answer
    client.send(auth("PLAIN", "\0juliet\0r0m30myr0m30", True).replace("mechanism=",
                                                                     "upgrade='FOO' mechanism="))
    assert "<failure" in client.until(END)


def test_second_login_ends_the_stream(client):
    plain(client, "\0juliet\0r0m30myr0m30", sasl2=True)
    client.until("</stream:features>")
    client.send(auth("PLAIN", "\0juliet\0r0m30myr0m30", True))
    assert "<stream:error" in client.until("</stream:stream>")


# -- somebody listened

class Recorder(Client):
    """Keeps what it sent."""

    def __init__(self, *args, **more):
        self.sent = []
        super().__init__(*args, **more)

    def send(self, text):
        self.sent.append(text)
        super().send(text)


@pytest.mark.parametrize("sasl2", [False, True])
@pytest.mark.parametrize("mechanism", HASHES)
def test_what_was_said_in_one_log_in_is_of_no_use_for_another(node, mechanism, sasl2):
    with Recorder(node.port()) as client:
        assert "<success" in scram(client, mechanism, "juliet", "r0m30myr0m30", sasl2=sasl2)
        first, final = client.sent[1:3]
    before = node.metric("sasl_logins_total", f'mechanism="{mechanism}",result="failure"')
    with Client(node.port()) as thief:
        # The server's own nonce is another one.
        thief.send(first)
        thief.until("</challenge>")
        thief.send(final)
        assert "<not-authorized" in thief.until(END)
        # An answer without a question.
        thief.send(final)
        assert "<malformed-request" in thief.until(END)
        # The server's question has passed by now.
        thief.send(first)
        challenge = inner(thief.until("</challenge>"), "challenge").decode()
        answer = inner(final, "response").decode()
        nonce = challenge.split(",")[0]
        forged = ",".join([answer.split(",")[0], nonce, answer.split(",")[2]])
        thief.send(f"<response xmlns='{SASL2 if sasl2 else SASL}'>{b64(forged)}</response>")
        assert "<not-authorized" in thief.until(END)
    assert node.metric("sasl_logins_total", f'mechanism="{mechanism}",result="failure"') == before + 2


def test_an_exchange_cannot_be_begun_in_another(client):
    client.send(auth("SCRAM-SHA-256", "n,,n=juliet,r=abc"))
    client.until("</challenge>")
    client.send(auth("PLAIN", "\0juliet\0r0m30myr0m30"))
    assert "<malformed-request" in client.until(END)
    assert "<success" in plain(client, "\0juliet\0r0m30myr0m30")


# -- guessing

GUESSING = CONFIG.replace("[module:sasl]", "[module:sasl]\nlock_period = 1h\nattempts = 1000\n{}").replace(
    "juliet:", "romeo:wherefore, juliet:")


def guess(node, user="juliet", password="wrong", **more):
    with Client(node.port(), **more) as client:
        return re.search(r"<(success|not-authorized|temporary-auth-failure)", plain(client, f"\0{user}\0{password}")).group(1)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_an_account_is_locked_after_so_many_guesses_and_no_other(start_node, mechanism):
    node = start_node(GUESSING.format("account_failures = 3"), hosts=HOSTS)
    with Client(node.port()) as client:
        for _ in range(3):
            if mechanism == "PLAIN":
                assert "<not-authorized" in plain(client, "\0juliet\0wrong")
            else:
                assert "<not-authorized" in scram(client, mechanism, "juliet", "wrong")
        # The right password is no better now, on any stream and with any mechanism.
        assert "<temporary-auth-failure" in scram(client, "SCRAM-SHA-1", "juliet", "r0m30myr0m30")
    assert guess(node, "Juliet", "r0m30myr0m30", source="127.0.0.7") == "temporary-auth-failure"
    assert guess(node, "romeo", "wherefore") == "success"
    assert node.metric("sasl_throttled_total", "account") == 2 and node.metric("sasl_throttled_total", "address") == 0


def test_a_lock_ends_and_the_counting_begins_anew(start_node):
    node = start_node(GUESSING.format("account_failures = 3\nfailure_period = 1h").replace("= 1h\nattempts", "= 1s\nattempts"), hosts=HOSTS)
    assert [guess(node) for _ in range(3)] == ["not-authorized"] * 3
    wait_for(lambda: guess(node, password="r0m30myr0m30") == "success", "the end of the lock")
    # Who knows the password wipes the slate.
    for _ in range(3):
        assert [guess(node) for _ in range(2)] == ["not-authorized"] * 2
        assert guess(node, password="r0m30myr0m30") == "success"


def test_an_address_is_locked_after_so_many_guesses_and_no_other(start_node):
    node = start_node(GUESSING.format("address_failures = 4\nthrottle_loopback = yes"), hosts=HOSTS)
    # Whoever is guessed at.
    for user in ("juliet", "romeo", "nobody", "juliet"):
        assert guess(node, user) == "not-authorized"
    assert guess(node, password="r0m30myr0m30") == "temporary-auth-failure"
    assert guess(node, password="r0m30myr0m30", source="127.0.0.7") == "success"
    assert node.metric("sasl_throttled_total", "address") == 1


def test_clients_of_this_machine_are_not_locked_by_address_unless_it_is_wanted(start_node):
    node = start_node(GUESSING.format("address_failures = 1"), hosts=HOSTS)
    assert [guess(node) for _ in range(3)] == ["not-authorized"] * 3


# -- guests (XEP-0175)

def test_guests_come_in_where_they_may_and_nowhere_else(node):
    assert "ANONYMOUS" not in Client(node.port()).features
    with Client(node.port()) as client:
        client.send(auth("ANONYMOUS"))
        assert "<invalid-mechanism" in client.until(END)
    names = set()
    for first in ("", "=", b64("a trace")):
        with Client(node.port(), "guests.example") as guest:
            assert "<mechanism>ANONYMOUS</mechanism>" in guest.features
            guest.send(f"<auth xmlns='{SASL}' mechanism='ANONYMOUS'>{first}</auth>")
            assert "<success" in guest.until(END)
            guest.restart()
            bound = guest.iq("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
            names.add(re.search("<jid>([^@]{20,})@guests.example/", bound).group(1))
    assert len(names) == 3
    # Those who have accounts come in as well.
    with Client(node.port(), "guests.example") as client:
        assert "<success" in scram(client, "SCRAM-SHA-256", "juliet", "r0m30myr0m30")
