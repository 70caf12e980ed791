# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Stream management (XEP-0198): nothing that was acknowledged is lost, nothing arrives twice."""
import random
import re
import threading

import pytest

from support import END, Closed, auth, wait_for

NS = "urn:xmpp:sm:3"
CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:sm]
resume_timeout = 60s
max_stanzas = 100
ack_every = 5
ack_delay = 200ms
location = there.example:5222
"""


def enable(client, resume=True, more=""):
    """Turns stream management on; returns the id for resumption."""
    client.send(f"<enable xmlns='{NS}'" + (" resume='true'" if resume else "") + more + "/>")
    client.enabled = client.until("<(enabled|failed)[^>]*>")
    match = re.search(r"\bid='([^']*)'", client.enabled)
    client.sm = match and match.group(1)
    return client.sm


def resume(node, user, previd, h, attempts=1):
    """A new connection that asks for the old session; returns it and what the server said."""
    client = node.client()
    client.authenticate(user)
    client.send(f"<resume xmlns='{NS}' previd='{previd}' h='{h}'/>")
    answer = client.until("<resumed[^>]*/>|</failed>|</stream:stream>")
    return client, answer


def ack(client):
    """How many of our stanzas the server has handled."""
    client.send(f"<r xmlns='{NS}'/>")
    return int(re.search(r"\bh='(\d+)'", client.until(r"<a [^>]*/>")).group(1))


def bodies(text):
    return re.findall("<body>(.*?)</body>", text)


def messages(client, count):
    """The next messages, and what is between them."""
    return "".join(client.until("</message>") for _ in range(count))


def reset(client):
    """The connection breaks without </stream:stream>."""
    client.drop()


@pytest.fixture
def pair(login):
    """Alice without, Bob with stream management; resources of their own, for sessions outlive tests."""
    alice, bob = login("alice", resource=""), login("bob", resource="")
    enable(bob)
    return alice, bob


def test_feature_is_offered_after_login(node):
    with node.client() as client:
        assert NS not in client.features.replace("</authentication>", "").split("<inline")[0]
        client.authenticate("alice")
        assert f"<sm xmlns='{NS}'/>" in client.features


def test_enabled_says_what_a_client_must_know(login):
    bob = login("bob", resource="")
    assert re.fullmatch("[0-9a-f]{48}", enable(bob))
    assert "resume='true'" in bob.enabled and "max='60'" in bob.enabled
    assert "location='there.example:5222'" in bob.enabled


def test_client_may_ask_for_less_time(login):
    bob = login("bob", resource="")
    enable(bob, more=" max='7'")
    assert "max='7'" in bob.enabled


def test_enabling_without_resumption(login):
    bob = login("bob", resource="")
    assert enable(bob, resume=False) is None
    assert "<enabled" in bob.enabled and "resume" not in bob.enabled


def test_enabling_twice_fails(login):
    bob = login("bob", resource="")
    enable(bob)
    bob.send(f"<enable xmlns='{NS}'/>")
    assert "<unexpected-request" in bob.until("</failed>")
    assert ack(bob) == 0


def test_enabling_before_binding_fails(node):
    with node.client() as client:
        client.authenticate("bob")
        client.send(f"<enable xmlns='{NS}' resume='true'/>")
        assert "<unexpected-request" in client.until("</failed>")
        client.iq("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        assert enable(client)


def test_before_login_there_is_no_stream_management(node):
    with node.client() as client:
        client.send(f"<enable xmlns='{NS}'/>")
        client.closed("not-authorized")


def test_asking_without_enabling_fails(login):
    bob = login("bob", resource="")
    bob.send(f"<r xmlns='{NS}'/>")
    assert "<unexpected-request" in bob.until("</failed>")


def test_resuming_after_binding_fails(login):
    bob = login("bob", resource="")
    bob.send(f"<resume xmlns='{NS}' previd='x' h='0'/>")
    assert "<unexpected-request" in bob.until("</failed>")


def test_server_counts_stanzas_alone(login):
    bob = login("bob", resource="")
    bob.iq("get", "<ping xmlns='urn:xmpp:ping'/>")
    enable(bob)
    assert ack(bob) == 0
    assert ack(bob) == 0
    bob.message(bob.jid, "one")
    bob.presence()
    bob.iq("get", "<ping xmlns='urn:xmpp:ping'/>")
    assert ack(bob) == 3


def test_client_is_asked_when_enough_was_sent(pair):
    alice, bob = pair
    for n in range(5):
        alice.message(bob.jid, n)
    text = bob.until(f"<r xmlns='{NS}'/>")
    assert bodies(text) == ["0", "1", "2", "3", "4"]


def test_client_is_asked_for_one_stanza_after_a_while(pair):
    alice, bob = pair
    alice.message(bob.jid, "one")
    text = bob.until(f"<r xmlns='{NS}'/>")
    bob.send(f"<a xmlns='{NS}' h='1'/>")
    assert bodies(text) == ["one"]
    bob.nothing()


def test_only_one_request_is_open(pair):
    alice, bob = pair
    for n in range(8):
        alice.message(bob.jid, n)
        alice.sync()
    assert bob.until("<body>7</body>").count("<r ") == 1


@pytest.mark.parametrize("h, text", [("1", "<a xmlns='{ns}' h='1'/>"), ("1", '<a h="1" xmlns="{ns}"/>'),
                                     ("1", "<a xmlns='{ns}' h='1'></a>"), ("1", "<a  xmlns = '{ns}' h='01' />")])
def test_acknowledged_is_not_sent_again(node, pair, h, text):
    alice, bob = pair
    alice.message(bob.jid, "one")
    alice.message(bob.jid, "two")
    bob.until("<body>two</body>")
    bob.send(text.replace("{ns}", NS))
    bob.sync()
    reset(bob)
    again, answer = resume(node, "bob", bob.sm, 2)
    assert "<resumed" in answer and "h='1'" in answer and f"previd='{bob.sm}'" in answer
    again.sync()
    again.drop()


@pytest.mark.parametrize("h, condition", [("1", "handled-count-too-high"), ("4294967295", "too-high"),
                                          ("x", "bad-format"), ("", "bad-format"),
                                          ("4294967296", "bad-format"), ("-1", "bad-format")])
def test_wrong_acknowledgement_ends_the_stream(login, h, condition):
    bob = login("bob", resource="")
    enable(bob)
    bob.send(f"<a xmlns='{NS}' h='{h}'/>")
    text = bob.closed(condition)
    if h == "1":
        assert "<undefined-condition" in text and "h='1' send-count='0'" in text


def test_acknowledgement_without_number_ends_the_stream(login):
    bob = login("bob", resource="")
    enable(bob)
    bob.send(f"<a xmlns='{NS}'/>")
    bob.closed("bad-format")


def test_what_the_client_missed_comes_when_it_resumes(node, pair):
    alice, bob = pair
    alice.message(bob.jid, "read")
    bob.until("<body>read</body>")
    reset(bob)
    for n in range(20):
        alice.message(bob.jid, n)
    alice.sync()
    again, answer = resume(node, "bob", bob.sm, 1)
    assert "<resumed" in answer
    text = again.until("<body>19</body>.*?<r ")
    assert bodies(text) == [str(n) for n in range(20)]
    alice.message(bob.jid, "new")
    assert bodies(again.until("<body>new</body>")) == ["new"]
    assert ack(again) == 0
    again.drop()


def test_session_resumes_many_times_and_on_every_worker(node, pair):
    """Connections are spread over two workers: among twelve some meet the other one."""
    alice, bob = pair
    have, last = 0, bob
    for n in range(12):
        reset(last)
        alice.message(bob.jid, f"{n}a")
        last, answer = resume(node, "bob", bob.sm, have)
        assert "<resumed" in answer and f"h='{n}'" in answer
        alice.message(bob.jid, f"{n}b")
        assert bodies(last.until(f"<body>{n}b</body>")) == [f"{n}a", f"{n}b"]
        have += 2
        last.message(alice.jid, n)
        assert bodies(alice.until("</message>")) == [str(n)]
    assert ack(last) == 12
    last.drop()


def test_presence_and_iq_are_kept_too(node, pair):
    alice, bob = pair
    reset(bob)
    alice.presence(to=bob.jid)
    alice.send(f"<iq type='get' id='q' to='{bob.jid}'><x xmlns='test'/></iq>")
    alice.sync()
    again, _ = resume(node, "bob", bob.sm, 0)
    assert re.search("<presence.*<iq[^>]*id='q'", again.until("</iq>"), re.S)
    again.send(f"<iq type='result' id='q' to='{alice.jid}'/>")
    assert "type='result'" in alice.stanza("id='q'")
    again.drop()


def test_input_behind_resume_waits_its_turn(node, pair):
    alice, bob = pair
    reset(bob)
    client = node.client()
    client.authenticate("bob")
    client.send(f"<resume xmlns='{NS}' previd='{bob.sm}' h='0'/>"
                f"<message to='{alice.jid}'><body>at once</body></message><r xmlns='{NS}'/>")
    assert "h='1'" in client.until("<resumed.*<a [^>]*/>").split("<a ")[1]
    assert bodies(alice.until("</message>")) == ["at once"]
    client.drop()


def test_wrong_id_is_not_found(node, pair):
    _, bob = pair
    wrong = bob.sm[:-1] + ("0" if bob.sm[-1] != "0" else "1")
    for previd in (wrong, "", "x" * 48, "f" * 48, bob.sm + "0"):
        client, answer = resume(node, "bob", previd, 0)
        assert "<item-not-found" in answer and " h=" not in answer
        client.iq("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        assert enable(client)
        client.drop()
    assert ack(bob) == 0


def test_another_account_cannot_resume(node, pair):
    _, bob = pair
    client, answer = resume(node, "alice", bob.sm, 0)
    assert "<item-not-found" in answer and " h=" not in answer
    client.drop()
    assert ack(bob) == 0


def test_session_without_resumption_cannot_be_resumed(node, login):
    bob = login("bob", resource="")
    enable(bob, resume=False)
    client, answer = resume(node, "bob", "0" * 48, 0)
    assert "<item-not-found" in answer
    client.drop()


def test_resuming_with_too_high_a_number_ends_the_new_stream_alone(node, pair):
    _, bob = pair
    client, answer = resume(node, "bob", bob.sm, 1)
    assert "handled-count-too-high" in answer
    assert ack(bob) == 0


@pytest.mark.parametrize("h", ["", "x", "-1"])
def test_resuming_without_a_number_fails(node, pair, h):
    _, bob = pair
    client, answer = resume(node, "bob", bob.sm, h)
    assert "<failed" in answer
    client.drop()


def test_old_connection_is_told_when_its_session_is_resumed(node, pair):
    alice, bob = pair
    alice.message(bob.jid, "one")
    bob.until("<body>one</body>")
    again, answer = resume(node, "bob", bob.sm, 0)
    assert "<resumed" in answer
    bob.closed("<conflict.*</stream:stream>")
    assert bodies(again.until("<body>one</body>")) == ["one"]
    again.drop()


def test_client_that_stopped_reading_resumes_elsewhere(node, pair):
    alice, bob = pair
    for n in range(90):
        alice.message(bob.jid, f"{n} " + "x" * 5000)
    alice.sync()
    again, answer = resume(node, "bob", bob.sm, 0)
    assert "<resumed" in answer
    assert [b.split()[0] for b in bodies(again.until("<body>89.*?</body>"))] == \
        [str(n) for n in range(90)]
    again.drop()


def test_polite_end_is_final(node, pair):
    alice, bob = pair
    bob.message(alice.jid, "last")
    bob.send("</stream:stream>")
    text = bob.closed("</stream:stream>")
    assert re.search(f"<a xmlns='{NS}' h='1'/></stream:stream>", text)
    client, answer = resume(node, "bob", bob.sm, 0)
    assert "<item-not-found" in answer and "<failed xmlns='urn:xmpp:sm:3' h='1'" in answer
    client.drop()


def test_unacknowledged_is_answered_when_the_session_ends(pair):
    """Nobody else takes it and there is no storage: the sender is told (RFC 6121 §8.5.3.2)."""
    alice, bob = pair
    alice.send(f"<message to='{bob.jid}' id='m' type='chat'><body>x</body></message>"
               f"<message to='{bob.jid}' id='e' type='error'><body>x</body></message>"
               f"<message to='{bob.jid}' id='h' type='headline'><body>x</body></message>"
               f"<presence to='{bob.jid}' id='p'/>"
               f"<iq to='{bob.jid}' id='i' type='get'><x xmlns='test'/></iq>"
               f"<iq to='{bob.jid}' id='r' type='result'/>")
    bob.until("id='r'[^>]*>")
    alice.buffer = ""
    bob.send("</stream:stream>")
    text = alice.until("id='i'.*?</iq>") + alice.sync()
    assert re.findall("<(message|iq|presence)[^>]*id='(.)'", text) == [("message", "m"), ("iq", "i")]
    assert text.count("<service-unavailable") == 2


def test_expired_session(start_node):
    node = start_node(CONFIG.replace("60s", "1s"))
    with node.client("alice", resource="a") as alice, node.client("bob", resource="b") as bob:
        enable(bob)
        bob.message(alice.jid, "hello")
        alice.until("</message>")
        reset(bob)
        alice.send(f"<message to='{bob.jid}' id='m' type='chat'><body>x</body></message>")
        alice.nothing()
        assert "<service-unavailable" in alice.until("</message>")
        client, answer = resume(node, "bob", bob.sm, 0)
        assert "<item-not-found" in answer and "<failed xmlns='urn:xmpp:sm:3' h='1'" in answer
        client.drop()
        client, answer = resume(node, "alice", bob.sm, 0)
        assert "<item-not-found" in answer and " h=" not in answer
        client.drop()


def test_shutdown_deals_with_what_waits(start_node):
    node = start_node(CONFIG)
    with node.client("alice", resource="a") as alice, node.client("bob", resource="b") as bob:
        enable(bob)
        reset(bob)
        alice.send(f"<message to='{bob.jid}' id='m' type='chat'><body>x</body></message>")
        alice.sync()
        node.stop()
        alice.closed("id='m'.*<service-unavailable.*<system-shutdown")


def test_too_many_unacknowledged_end_the_session(node, pair):
    alice, bob = pair
    for n in range(101):
        alice.message(bob.jid, n)
    text = messages(alice, 101)
    assert text.count("<service-unavailable") == 101
    bob.closed("<resource-constraint")
    assert "sm.full" in node.log()


def test_as_many_as_allowed_do_not(node, pair):
    alice, bob = pair
    for n in range(100):
        alice.message(bob.jid, n)
    alice.nothing()
    bob.until("<body>99</body>")
    assert ack(bob) == 0


def test_queue_of_a_detached_session_is_limited(node, pair):
    alice, bob = pair
    reset(bob)
    for n in range(101):
        alice.message(bob.jid, n)
    assert messages(alice, 101).count("<service-unavailable") == 101
    client, answer = resume(node, "bob", bob.sm, 0)
    assert "<item-not-found" in answer
    client.drop()


def test_bytes_are_limited(start_node):
    node = start_node(CONFIG + "max_bytes = 20000\n")
    with node.client("alice", resource="a") as alice, node.client("bob", resource="b") as bob:
        enable(bob)
        alice.message(bob.jid, "x" * 10000)
        alice.message(bob.jid, "y" * 10000)
        bob.closed("<resource-constraint")


def test_silent_client_loses_its_connection(start_node):
    node = start_node(CONFIG + "ack_timeout = 300ms\n")
    with node.client("alice", resource="a") as alice, node.client("bob", resource="b") as bob:
        enable(bob)
        alice.message(bob.jid, "one")
        bob.until("<r [^>]*>")
        assert bob.sync() == ""     # alive, if silent about what it has
        alice.message(bob.jid, "two")
        bob.closed()
        client, answer = resume(node, "bob", bob.sm, 0)
        assert "<resumed" in answer
        assert bodies(client.until("<body>two.*</message>")) == ["one", "two"]
        client.drop()


def test_same_resource_anew_takes_over_what_was_not_acknowledged(node, login):
    """A client that cannot resume binds again: RFC 6120 §7.7.2.2, and its messages find it."""
    alice, bob = login("alice", resource=""), login("bob", resource="b")
    enable(bob)
    reset(bob)
    alice.message(bob.jid, "one")
    alice.sync()
    with node.client("bob", resource="b") as again:
        text = again.until("</message>")
        assert bodies(text) == ["one"]
        assert "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='20" in text


def test_delay_that_is_there_stays_alone(node, pair):
    alice, bob = pair
    reset(bob)
    alice.message(bob.jid, "one", more="<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>")
    alice.sync()
    with node.client("bob", resource=bob.jid.split("/")[1]) as again:
        assert again.until("</message>").count("<delay") == 1


def sasl2(node, user, more):
    client = node.client()
    client.send(auth("PLAIN", f"\0{user}\0secret", True, more))
    answer = client.until(END)
    return client, answer


def test_sasl2_and_bind2_in_one_round_trip(node, login):
    alice = login("alice")
    client = node.client()
    inline = client.features.split("<inline>", 1)[1]
    assert inline.count(f"<sm xmlns='{NS}'/>") == 1 and f"<feature var='{NS}'/>" in inline
    client.drop()
    bob, answer = sasl2(node, "bob", f"<bind xmlns='urn:xmpp:bind:0'><enable xmlns='{NS}' resume='true'/>"
                        "</bind>")
    bound = re.search("<bound.*</bound>", answer).group(0)
    bob.sm = re.search("<enabled[^>]* id='([^']*)'", bound).group(1)
    bob.jid = re.search("<authorization-identifier>([^<]*)<", answer).group(1)
    assert ack(bob) == 0
    reset(bob)
    alice.message(bob.jid, "one")
    alice.sync()
    again, answer = sasl2(node, "bob", f"<resume xmlns='{NS}' previd='{bob.sm}' h='0'/>")
    assert re.search(f"<success.*<resumed xmlns='{NS}' h='0' previd='{bob.sm}'/>.*</success>", answer)
    assert f"<authorization-identifier>{bob.jid}<" in answer
    assert "<body>one</body>" in again.until("</stream:features>.*</message>|<stream:features/>.*</message>")
    again.drop()


def test_sasl2_falls_back_to_binding(node):
    bob, answer = sasl2(node, "bob", f"<resume xmlns='{NS}' previd='{'0' * 48}' h='0'/>"
                        f"<bind xmlns='urn:xmpp:bind:0'><enable xmlns='{NS}' resume='true'/></bind>")
    assert re.search(f"<success.*<failed xmlns='{NS}'><item-not-found.*<bound.*<enabled", answer)
    assert ack(bob) == 0
    bob.drop()


def test_sasl2_with_too_high_a_number(node, pair):
    _, bob = pair
    client = node.client()
    client.send(auth("PLAIN", "\0bob\0secret", True,
                     f"<resume xmlns='{NS}' previd='{bob.sm}' h='1'/>"))
    client.closed("handled-count-too-high")
    assert ack(bob) == 0


def test_module_leaves_and_comes_back(start_node):
    node = start_node(CONFIG)
    with node.client("alice", resource="a") as alice, node.client("bob", resource="b") as bob:
        enable(bob)
        reset(bob)
        alice.message(bob.jid, "one")
        alice.sync()
        assert "ok" in node.control("module", "unload", "sm").lower()
        assert "<service-unavailable" in alice.until("</message>")
        assert "ok" in node.control("module", "load", "sm").lower()
        with node.client("bob", resource="b") as again:
            assert enable(again)


class Fickle:
    """Bob behind a bad network: reads everything once and in order although his connections break."""

    def __init__(self, node, seed):
        self.node, self.random = node, random.Random(seed)
        self.client = node.client("bob", resource="")
        self.jid, self.id = self.client.jid, enable(self.client)
        self.got, self.h, self.cuts = [], 0, 0

    def handle(self, text):
        for element in re.findall(r"<message.*?</message>|<r [^>]*/>", text):
            if element.startswith("<r "):
                self.client.send(f"<a xmlns='{NS}' h='{self.h}'/>")
            else:
                self.got += bodies(element)
                self.h += 1

    def cut(self):
        self.cuts += 1
        how = self.random.randrange(3)
        old = self.client
        if how == 0:
            reset(old)
        self.client, answer = resume(self.node, "bob", self.id, self.h)
        assert "<resumed" in answer, answer
        if how == 1:
            reset(old)

    def read(self, total):
        while len(self.got) < total:
            if self.random.random() < 0.2:
                self.cut()
            else:
                self.handle(self.client.until("</message>|<r [^>]*/>"))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_messages_survive_cut_connections(node, login, seed):
    alice, bob = login("alice", resource="a"), Fickle(node, seed)
    window = threading.Semaphore(50)

    def write():
        for n in range(1000):
            window.acquire()
            alice.message(bob.jid, n)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    for n in range(1, 1001):
        bob.read(n)
        window.release()
    writer.join()
    assert bob.got == [str(n) for n in range(1000)]
    assert bob.cuts > 100
    alice.nothing()
    bob.client.drop()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_messages_of_a_sender_whose_connection_breaks(node, login, seed):
    """He sends again what <resumed h=''/> does not count, and nothing else."""
    chance, bob = random.Random(seed), login("bob", resource="")
    alice = node.client("alice", resource="")
    previd, sent, cuts = enable(alice), 0, 0
    while sent < 1000:
        count = chance.randint(1, 20)
        alice.send("".join(f"<message to='{bob.jid}'><body>{n}</body></message>"
                           for n in range(sent, min(1000, sent + count))))
        sent = min(1000, sent + count)
        if chance.random() < 0.5 or sent == 1000:
            cuts += 1
            old = alice
            if chance.random() < 0.5:
                reset(old)
            alice, answer = resume(node, "alice", previd, 0)
            handled = int(re.search(r" h='(\d+)'", answer).group(1))
            assert "<resumed" in answer and handled <= sent
            sent = handled
            reset(old)
    assert cuts > 30
    assert bodies(messages(bob, 1000)) == [str(n) for n in range(1000)]
    bob.nothing()
    alice.drop()


def test_connections_of_an_address_are_counted_right_over_resumptions(start_node):
    node = start_node(CONFIG.replace("0.0.1:0\n", "0.0.1:0\nmax_connections_address = 4\n"))
    bob = node.client("bob", resource="b")
    enable(bob)
    last = bob
    for n in range(10):
        if n % 2:
            reset(last)
        last, answer = resume(node, "bob", bob.sm, 0)
        assert "<resumed" in answer
        ack(last)
        bob.drop()
    others = [wait_for(lambda: connect(node), "a free place") for _ in range(3)]
    assert connect(node) is None
    for client in last, *others:
        client.drop()


def connect(node):
    try:
        return node.client()
    except (Closed, OSError):
        return None


def test_session_may_end_just_when_it_is_resumed(node, login):
    """Either of the two comes first; whoever asked is answered, and the server lives on."""
    outcomes = set()
    alice = login("alice", resource="")
    for n in range(600):
        bob, again = node.client("bob", resource=""), node.client()
        enable(bob)
        again.authenticate("bob")
        first, second = (bob, again) if n % 2 else (again, bob)
        for client in first, second:
            client.send("</stream:stream>" if client is bob else
                        f"<resume xmlns='{NS}' previd='{bob.sm}' h='0'/>")
        answer = again.until("<resumed[^>]*/>|</failed>")
        outcomes.add("resumed" in answer)
        bob.closed()
        if "resumed" in answer:
            alice.message(bob.jid, n)
            assert bodies(again.until("</message>")) == [str(n)]
        else:
            assert " h='0'" in answer or "<failed xmlns='urn:xmpp:sm:3'>" in answer
            again.iq("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        again.send("</stream:stream>")
        again.closed()
        if n >= 60 and outcomes == {True, False}:
            break
    assert outcomes == {True, False}
