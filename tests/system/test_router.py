# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Who gets a stanza, and what its sender hears: RFC 6121 §8, case by case."""
import re

import pytest

HOSTS = "localhost, example.org"
# Accounts, each with its resources and their priorities; None: bound, but no presence sent.
PEOPLE = {
    "nobody": {},
    "mute": {"m": None},
    "hidden": {"neg": -1},
    "single": {"one": 0},
    "mixed": {"neg": -5, "low": 1, "high": 7, "mute": None},
    "equal": {"a": 3, "b": 3, "low": 0, "neg": -128},
}
CONFIG = f"""
[c2s]
listen = 127.0.0.1:0
[sasl]
[auth_memory]
accounts = sender:secret, crowd:secret, twin:secret, {", ".join(f"{p}:secret" for p in PEOPLE)}
[rdbms]
[roster]
[presence]
[disco]
[version]
"""
UNAVAILABLE, NOT_FOUND = "service-unavailable", "remote-server-not-found"
IMPOSSIBLE, BAD = "jid-malformed", "bad-request"
SILENCE = None
NORMAL = (None, "normal", "no-such-type")
TALK = (*NORMAL, "chat")
MESSAGES = (*TALK, "groupchat", "headline", "error")
PRESENCE = (None, "unavailable")


def attributes(**values):
    return "".join(f" {k.rstrip('_')}='{v}'" for k, v in values.items() if v is not None)


class Stage:
    """The sender, and everybody of PEOPLE with all resources."""

    def __init__(self, node):
        self.serial = 0
        self.sender = node.client("sender", resource="desk")
        self.clients = {}
        for person, resources in PEOPLE.items():
            for resource, priority in resources.items():
                client = node.client(person, resource=resource)
                if priority is not None:
                    client.presence(f"<priority>{priority}</priority>")
                    client.until(f"<presence[^>]*from='{client.jid}'")
                self.clients[person, resource] = client
        for client in self.clients.values():
            self.settled(client)

    @staticmethod
    def settled(client):
        """All that was on its way to this client when asked: the second answer comes in a later turn of its worker."""
        return client.sync() + client.sync()

    def play(self, kind, to, type_, content=""):
        """Sends it; returns the JIDs that got it and the error that came back."""
        self.serial += 1
        mark = f"play{self.serial}"
        self.sender.send(f"<{kind}{attributes(to=to, type_=type_, id=mark)}>{content}</{kind}>")
        back = self.settled(self.sender)
        got = {f"{p}/{r}" for (p, r), c in self.clients.items() if f"id='{mark}'" in self.settled(c)}
        error = None
        if re.search(f"<{kind} [^>]*id='{mark}'", back):
            assert "type='error'" in back, back
            error = re.search(r"<error type='\w+'><([\w-]+)", back).group(1)
            # Of an address that is none the server itself complains.
            assert (f"from='{to}'" in back) == (error != IMPOSSIBLE), back
        return got, error

    def drop(self):
        for client in (self.sender, *self.clients.values()):
            client.drop()


@pytest.fixture(scope="module")
def stage(node):
    stage = Stage(node)
    yield stage
    stage.drop()


def cases(table):
    """(kind, addressee, types, receivers, error) with one case for each type."""
    return [(kind, to, type_, set(got.split()), error)
            for kind, tos, types, got, error in table for to in tos.split() for type_ in types]


MESSAGE_CASES = cases([
    # §8.5.1: there is no such account.
    ("message", "ghost ghost/x", TALK, "", UNAVAILABLE),
    ("message", "ghost ghost/x", ["groupchat"], "", UNAVAILABLE),
    ("message", "ghost ghost/x", ["headline", "error"], "", SILENCE),
    # §8.5.2.2: to the bare JID, no resource or none that wants messages; nobody stores them here.
    ("message", "nobody mute hidden", TALK, "", UNAVAILABLE),
    ("message", "nobody mute hidden", ["groupchat"], "", UNAVAILABLE),
    ("message", "nobody mute hidden", ["headline", "error"], "", SILENCE),
    # §8.5.2.1.1: to the bare JID, one resource.
    ("message", "single", TALK, "single/one", SILENCE),
    ("message", "single", ["headline"], "single/one", SILENCE),
    # Several: the most available, headlines to all that are not negative.
    ("message", "mixed", TALK, "mixed/high", SILENCE),
    ("message", "mixed", ["headline"], "mixed/high mixed/low", SILENCE),
    ("message", "equal", TALK, "equal/a equal/b", SILENCE),
    ("message", "equal", ["headline"], "equal/a equal/b equal/low", SILENCE),
    ("message", "single mixed equal", ["groupchat"], "", UNAVAILABLE),
    ("message", "single mixed equal", ["error"], "", SILENCE),
    # §8.5.3.1: a full JID that somebody has, whatever the priority, with presence or without.
    ("message", "single/one", MESSAGES, "single/one", SILENCE),
    ("message", "mixed/neg", MESSAGES, "mixed/neg", SILENCE),
    ("message", "mixed/low", MESSAGES, "mixed/low", SILENCE),
    ("message", "mixed/mute", MESSAGES, "mixed/mute", SILENCE),
    # §8.5.3.2: a full JID that nobody has. Chats find another resource.
    ("message", "single/gone", ["chat"], "single/one", SILENCE),
    ("message", "mixed/gone", ["chat"], "mixed/high", SILENCE),
    ("message", "equal/gone", ["chat"], "equal/a equal/b", SILENCE),
    ("message", "nobody/gone mute/gone hidden/gone", ["chat"], "", UNAVAILABLE),
    ("message", "nobody/gone hidden/gone mixed/gone", [*NORMAL, "groupchat"], "", UNAVAILABLE),
    ("message", "nobody/gone hidden/gone mixed/gone", ["headline", "error"], "", SILENCE),
])
PRESENCE_CASES = cases([
    ("presence", "ghost ghost/x nobody mute nobody/gone mixed/gone", PRESENCE, "", SILENCE),
    ("presence", "single", PRESENCE, "single/one", SILENCE),
    ("presence", "mixed", PRESENCE, "mixed/neg mixed/low mixed/high", SILENCE),
    ("presence", "equal", PRESENCE, "equal/a equal/b equal/low equal/neg", SILENCE),
    ("presence", "mixed/neg", PRESENCE, "mixed/neg", SILENCE),
    ("presence", "mixed/mute", PRESENCE, "mixed/mute", SILENCE),
    ("presence", "single mixed/neg ghost", ["no-such-type"], "", BAD),
    # §8.5.2.1.2, §4.3: strangers' probes are answered to nobody.
    ("presence", "ghost nobody single mixed mixed/neg mixed/gone", ["probe"], "", SILENCE),
])
IQ_CASES = cases([
    ("iq", "ghost ghost/x nobody nobody/gone mute mixed mixed/gone", ["get", "set"], "", UNAVAILABLE),
    ("iq", "ghost ghost/x nobody nobody/gone mute mixed mixed/gone", ["result", "error"], "", SILENCE),
    *[("iq", full, ["get", "set", "result", "error"], full, SILENCE)
      for full in ("single/one", "mixed/neg", "mixed/high", "mixed/mute")],
    ("iq", "single/one ghost nobody", [None, "no-such-type"], "", BAD),
])


def name(case):
    kind, to, type_ = case[:3]
    return f"{kind}-{to}-{type_}"


@pytest.mark.parametrize("case", MESSAGE_CASES + PRESENCE_CASES + IQ_CASES, ids=name)
def test_a_stanza_to_an_account(stage, case):
    kind, to, type_, receivers, error = case
    bare, _, resource = to.partition("/")
    to = f"{bare}@localhost" + (f"/{resource}" if resource else "")
    content = {"message": "<body>hi</body>", "presence": "",
               "iq": "<error type='cancel'/>" if type_ == "error" else "<q xmlns='meerkat:unknown'/>"}
    assert stage.play(kind, to, type_, content[kind]) == (receivers, error)


@pytest.mark.parametrize("kind,types,error", [
    ("message", (*TALK, "groupchat", "headline"), NOT_FOUND),
    ("message", ("error",), SILENCE),
    ("iq", ("get", "set"), NOT_FOUND),
    ("iq", ("result", "error"), SILENCE),
    ("presence", (None, "unavailable", "probe"), NOT_FOUND),
    ("presence", ("error",), SILENCE),
])
def test_a_stanza_to_a_host_that_nobody_knows(stage, kind, types, error):
    for to in ("someone@far.example", "someone@far.example/there", "far.example"):
        for type_ in types:
            content = "<q xmlns='meerkat:unknown'/>" if kind == "iq" else ""
            assert stage.play(kind, to, type_, content) == (set(), error), (to, type_)


@pytest.mark.parametrize("to", ["localhost", "localhost/x", "example.org"])
def test_a_stanza_to_the_server_itself(stage, to):
    for type_, error in [(t, UNAVAILABLE) for t in (*TALK, "groupchat", "headline")] + [("error", SILENCE)]:
        assert stage.play("message", to, type_, "<body>hi</body>") == (set(), error), type_
    for type_, error in [("get", UNAVAILABLE), ("set", UNAVAILABLE), ("result", SILENCE),
                         ("error", SILENCE)]:
        assert stage.play("iq", to, type_, "<q xmlns='meerkat:unknown'/>") == (set(), error), type_
    for type_ in PRESENCE:
        assert stage.play("presence", to, type_) == (set(), SILENCE), type_
    assert "<version>" in stage.sender.iq("get", "<query xmlns='jabber:iq:version'/>", to)


@pytest.mark.parametrize("to", ["@localhost", "a@b@localhost", "single@localhost/", "a b@localhost"])
def test_an_address_that_is_none(stage, to):
    assert stage.play("message", to, "chat", "<body>hi</body>") == (set(), IMPOSSIBLE)


def test_requests_without_an_address_are_for_ones_own_account(stage):
    """RFC 6120 §10.3.3: answered by the server for the account, or refused by it."""
    answer = stage.sender.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert "type='result'" in answer and "category='account'" in answer
    assert UNAVAILABLE in stage.sender.iq("get", "<q xmlns='meerkat:unknown'/>")


def test_what_exists_looks_to_a_stranger_like_what_does_not(stage):
    """RFC 6120 §13.11: an answer must not tell which accounts there are."""
    for ns in ("http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items",
               "jabber:iq:version", "meerkat:unknown"):
        answers = {re.sub("nobody|single|ghost|id='[^']*'", "", stage.sender.iq(
            "get", f"<query xmlns='{ns}'/>", f"{who}@localhost")) for who in ("nobody", "single", "ghost")}
        assert len(answers) == 1, answers


def test_accounts_of_two_hosts_are_two_accounts(node, stage, login):
    here, there = login("twin", resource="r"), login("twin", resource="r", host="example.org")
    for client in (here, there):
        client.presence()
        client.until(f"<presence[^>]*from='{client.jid}'")
    stage.sender.message("twin@example.org", "to the other host")
    stage.sender.sync()
    there.stanza("<body>to the other host")
    here.nothing()
    there.message("twin@localhost", "and back")
    assert "from='twin@example.org/r'" in here.stanza("<body>and back")
    there.message("single@localhost/one", "across")
    assert "from='twin@example.org/r'" in stage.clients["single", "one"].stanza("across")


def test_what_was_for_a_resource_that_has_just_gone_is_not_lost(login, stage):
    a, b = login("twin", resource="a"), login("twin", resource="b")
    for client in (a, b):
        client.presence()
        client.until(f"<presence[^>]*from='{client.jid}'")
    a.close()
    stage.sender.message("twin@localhost/a", "still there?")
    b.stanza("<body>still there")
    b.presence(type_="unavailable")
    b.sync()
    stage.sender.message("twin@localhost/a", "and now?")
    assert UNAVAILABLE in stage.sender.stanza("and now|type='error'")
    b.nothing("<message")


def test_an_account_may_have_any_number_of_resources(node, stage):
    clients = [node.client("crowd", resource=f"r{n:02}") for n in range(70)]
    try:
        for n, client in enumerate(clients):
            client.presence(f"<priority>{0 if n % 10 else 1}</priority>")
        for client in clients:
            client.until(f"<presence[^>]*from='{client.jid}'")
        for type_, expected in (("headline", range(70)), ("chat", range(0, 70, 10))):
            stage.sender.message("crowd@localhost", f"for {type_}", type_)
            stage.sender.sync()
            got = [n for n, client in enumerate(clients) if f"for {type_}" in stage.settled(client)]
            assert got == list(expected)
        stage.sender.presence("<status>to everybody</status>", to="crowd@localhost")
        for client in clients:
            client.until("to everybody")
    finally:
        for client in clients:
            client.drop()


def test_with_an_archive_for_the_absent_messages_wait_where_the_rfc_lets_them(start_node):
    node = start_node(CONFIG + "[offline]\n", hosts=HOSTS)
    with node.client("sender") as sender:
        for to, type_, error in [("nobody@localhost", "chat", SILENCE), ("nobody@localhost", None, SILENCE),
                                 ("nobody@localhost/gone", "chat", SILENCE),
                                 ("nobody@localhost/gone", "normal", UNAVAILABLE),
                                 ("nobody@localhost", "groupchat", UNAVAILABLE),
                                 ("ghost@localhost", "chat", UNAVAILABLE),
                                 ("ghost@localhost", None, UNAVAILABLE)]:
            body = f"{to} {type_}"
            sender.send(f"<message{attributes(to=to, type_=type_, id=body)}><body>{body}</body></message>")
            if error:
                assert error in sender.stanza("type='error'")
        sender.nothing()
        with node.client("nobody") as back:
            back.presence()
            text = back.until("nobody@localhost/gone chat</body>")
            assert re.findall("<body>(.*?)</body>", text) == [
                "nobody@localhost chat", "nobody@localhost None", "nobody@localhost/gone chat"]
