# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Clients that say things at random, half of it damaged: the node stays up and others chat on. MEERKAT_MONKEY=SEED,SECONDS
for another monkey, or one that takes its time (best with the sanitizers' build)."""
import base64
import os
import random
import re
import socket
import struct
import threading
import time

from support import Node
from test_first_chat import CONFIG

SEED, SECONDS = (int(n) for n in os.environ.get("MEERKAT_MONKEY", "1,6").split(","))
USERS = ["alice", "bob", "carol"]
HEAD = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' " \
    "xmlns:stream='http://etherx.jabber.org/streams' to='localhost'>"
JIDS = [u + "@localhost" for u in USERS] + ["alice@localhost/r1", "bob@localhost/r2", "localhost", "nobody@localhost",
                                           "x@elsewhere.example", "@@", ""]
NAMES = "query vCard ping time block unblock blocklist enable disable offline x".split()
NAMESPACES = ("jabber:iq:roster jabber:iq:private vcard-temp urn:xmpp:ping urn:xmpp:time urn:xmpp:blocking urn:xmpp:carbons:2 "
              "http://jabber.org/protocol/disco#info http://jabber.org/protocol/disco#items http://jabber.org/protocol/offline "
              "jabber:iq:last jabber:iq:version").split()
INSIDE = ["", "<item jid='{}' name='n'><group>g</group></item>", "<item jid='{}' subscription='remove'/>", "<item jid='{}'/>",
          "<purge/>", "<fetch/>", "<item action='view' node='x'/>", "<a xmlns='urn:p'>z</a>",
          "<FN>f</FN><PHOTO><BINVAL>AAAA</BINVAL></PHOTO>"]
EXTENSIONS = ["", "<active xmlns='http://jabber.org/protocol/chatstates'/>", "<private xmlns='urn:xmpp:carbons:2'/>",
              "<no-store xmlns='urn:xmpp:hints'/>", "<delay xmlns='urn:xmpp:delay' stamp='x'/>"]
INLINE = ["", "<bind xmlns='urn:xmpp:bind:0'><tag>t</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>",
          "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"]
DAMAGE = [b"<!--", b"<?", b"]]>", b"<![CDATA[", b"'", b'"', b"&", b"\0", b"\xf3", b"<", b">", b"xmlns:a='b' ", b" xmlns='' "]


class Monkey:
    def __init__(self, port, seed, ids):
        self.port = port
        self.r = random.Random(seed)
        self.ids = ids                  # of sessions that can be resumed; shared by all

    def plain(self):
        return base64.b64encode(f"\0{self.r.choice(USERS)}\0secret".encode()).decode()

    def bind(self):
        name = self.r.choice(["r1", "r2", "r3", ""])
        return f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{name}</resource></bind></iq>"

    def message(self):
        type_ = self.r.choice("chat normal headline error groupchat x".split())
        return f"<message to='{self.r.choice(JIDS)}' type='{type_}' id='{self.r.randrange(50)}'>" \
            f"<body>{'y' * self.r.randrange(200)}</body>{self.r.choice(EXTENSIONS)}</message>"

    def presence(self):
        type_ = self.r.choice("subscribe subscribed unsubscribe unsubscribed probe unavailable error".split() + [""])
        return self.r.choice([
            "<presence/>", "<presence type='unavailable'/>",
            f"<presence><priority>{self.r.randrange(-200, 200)}</priority><show>away</show></presence>",
            f"<presence to='{self.r.choice(JIDS)}' type='{type_}'/>"])

    def request(self):
        name, type_ = self.r.choice(NAMES), self.r.choice(["get", "set", "result", "error"])
        return f"<iq type='{type_}' id='{self.r.randrange(50)}' to='{self.r.choice(JIDS)}'><{name} " \
            f"xmlns='{self.r.choice(NAMESPACES)}'>{self.r.choice(INSIDE).format(self.r.choice(JIDS))}</{name}></iq>"

    def stream(self):
        sm = "xmlns='urn:xmpp:sm:3'"
        return self.r.choice([
            f"<enable {sm} resume='true'/>", f"<r {sm}/>", f"<a {sm} h='{self.r.randrange(30)}'/>",
            f"<resume {sm} previd='{self.r.choice(self.ids or ['x'])}' h='{self.r.randrange(10)}'/>",
            "<active xmlns='urn:xmpp:csi:0'/>", "<inactive xmlns='urn:xmpp:csi:0'/>", "</stream:stream>", " \n", HEAD,
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", self.bind(),
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{self.plain()}</auth>",
            f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{self.plain()}</initial-response>"
            f"{self.r.choice(INLINE)}</authenticate>"])

    def damaged(self, text):
        data = bytearray(text.encode())
        for _ in range(self.r.choice([0, 0, 0, 0, 0, 1, 1, 3])):
            at = self.r.randrange(len(data) + 1)
            how = self.r.randrange(4)
            if how == 0 and at < len(data):
                data[at] = self.r.randrange(256)
            elif how == 1:
                del data[at:at + self.r.randrange(20)]
            elif how == 2:
                data[at:at] = data[at:at + self.r.randrange(30)]
            else:
                data[at:at] = self.r.choice(DAMAGE)
        return bytes(data)

    def script(self):
        said = []
        if self.r.random() < 0.85:
            said += [HEAD + f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{self.plain()}</auth>",
                     HEAD + self.bind()]
            said += ["<enable xmlns='urn:xmpp:sm:3' resume='true'/>"] * (self.r.random() < 0.5)
            said += ["<presence/>"] * (self.r.random() < 0.5)
        kinds = [self.message, self.presence, self.request, self.stream]
        return [s.encode() for s in said] + [self.damaged(self.r.choice(kinds)()) for _ in range(self.r.randrange(1, 25))]

    def say(self, s, data):
        cut = self.r.randrange(1, len(data)) if len(data) > 3 and self.r.random() < 0.2 else 0
        if cut:
            s.sendall(data[:cut])
        s.sendall(data[cut:])
        if self.r.random() < 0.5:
            try:
                answer = s.recv(65536)
            except TimeoutError:
                return True
            self.ids.extend(m.decode() for m in re.findall(rb"<enabled[^>]* id='([^']*)'", answer))
            del self.ids[:-20]
            return bool(answer)
        return True

    def live(self):
        """One connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
            s.settimeout(0.02)
            for data in self.script():
                if not self.say(s, data):
                    break
            if self.r.random() < 0.3:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_others_chat_on_whatever_some_say(tmp_path):
    node = Node(tmp_path, CONFIG.replace("[c2s]", "[c2s]\nrate_login = 0").replace("[sasl]", "[sasl]\nattempts = 1000"))
    node.start()
    with node.client() as c:
        for user in USERS:
            answer = c.iq("set", f"<query xmlns='jabber:iq:register'><username>{user}</username><password>secret</password></query>")
            assert "type='result'" in answer
    end, ids, lives = time.monotonic() + SECONDS, [], []

    def run(seed):
        monkey = Monkey(node.port(), seed, ids)
        while time.monotonic() < end:
            try:
                monkey.live()
            except OSError:
                pass
            lives.append(seed)
    threads = [threading.Thread(target=run, args=(SEED * 1000 + i,)) for i in range(8)]
    for t in threads:
        t.start()
    chats = 0
    while time.monotonic() < end:
        with node.client("alice", resource="by") as a, node.client("bob", resource="by") as b:
            for i in range(20):
                a.message(b.jid, f"{chats}.{i}")
                assert f"<body>{chats}.{i}</body>" in b.stanza(f"<body>{chats}.{i}<")
        chats += 1
    for t in threads:
        t.join()
    assert chats > 0 and len(lives) > 8
    assert not re.search(r"^\S+ error ", node.log(), re.M)
    # Its exit status is 0, and with a sanitizer nothing is left that nobody knows of.
    node.stop()
