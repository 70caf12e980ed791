# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Pairs of clients with stream management that talk while nodes come and go, and keep account of every message."""
import asyncio
import base64
import random
import re
import time

NS = "urn:xmpp:sm:3"
# A stanza or an element of stream management; what is inside a stanza is of no interest but for the number.
ITEM = re.compile(r"<(message|presence|iq)\b(?:[^>]*/>|.*?</\1>)|<(r|a|enabled|resumed|failed)\b(?:[^>]*/>|.*?</\2>)|"
                  r"<stream:error>.*?</stream:error>|</stream:stream>", re.S)


class Talker:
    """One client: sends numbered messages to its partner, and reconnects to any node when its connection breaks."""

    def __init__(self, load, user):
        self.load, self.user, self.jid = load, user, f"{user}@localhost/t"
        self.previd, self.reader, self.writer = None, None, None
        self.received, self.handled, self.sent = [], 0, 0
        self.unacked, self.acked = [], 0
        self.resumed = self.failed = 0
        self.broken_at, self.pauses, self.errors = None, [], []
        self.numbers = 0
        self.ready = False      # stanzas may be written
        self.online = asyncio.Event()

    async def expect(self, pattern):
        while True:
            match = re.search(pattern, self.text, re.S)
            if match:
                self.before, self.text = self.text[:match.start()], self.text[match.end():]
                return match.group()
            data = await asyncio.wait_for(self.reader.read(65536), 20)
            if not data:
                raise ConnectionError("closed")
            self.text += data.decode()

    def write(self, text):
        self.writer.write(text.encode())

    async def connect(self):
        self.port = random.choice(self.load.ports())
        address, port = self.port if isinstance(self.port, tuple) else ("127.0.0.1", self.port)
        self.text = ""
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(address, port, ssl=self.load.tls), 10)
        head = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"
        plain = base64.b64encode(f"\0{self.user}\0secret".encode()).decode()
        self.write(head)
        await self.expect("</stream:features>")
        self.write(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")
        await self.expect("<success")
        self.write(head)
        await self.expect("</stream:features>")
        if self.previd:
            self.write(f"<resume xmlns='{NS}' previd='{self.previd}' h='{self.handled}'/>")
            answer = await self.expect("<resumed[^>]*/>|</failed>")
            if answer.startswith("<resumed"):
                self.resumed += 1
                self.ready = True
                self.on_ack(int(re.search(r"\bh='(\d+)'", answer).group(1)))
                for stanza in self.unacked:
                    self.write(stanza)
                return
            self.failed += 1
        self.write("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>t</resource></bind></iq>")
        await self.expect("</iq>")
        self.read_early()
        self.write(f"<enable xmlns='{NS}' resume='true'/>")
        self.previd = re.search(r"\bid='(\w+)'", await self.expect("<enabled[^>]*>")).group(1)
        self.read_early()
        again, self.unacked, self.handled, self.acked, self.sent = self.unacked, [], 0, 0, 0
        self.ready = True
        self.send("<presence/>")
        for stanza in again:
            self.send(stanza)

    def read_early(self):
        """What comes before stream management is on is not counted."""
        for match in ITEM.finditer(self.before):
            self.on_item(match.group())

    def send(self, stanza):
        self.sent += 1
        self.unacked.append(stanza)
        if self.ready:
            self.write(stanza)

    def on_ack(self, h):
        n = h - self.acked
        assert 0 <= n <= len(self.unacked), (h, self.acked, len(self.unacked))
        del self.unacked[:n]
        self.acked = h

    def say(self):
        self.numbers += 1
        self.load.sent_at[(self.user, self.numbers)] = time.monotonic()
        self.load.sent_from[(self.user, self.numbers)] = self.port
        self.send(f"<message type='chat' to='{self.partner.jid}'><body>{self.user} {self.numbers} .</body></message>")
        if self.ready and self.numbers % 3 == 0:
            self.write(f"<r xmlns='{NS}'/>")

    def on_item(self, text):
        if text.startswith("<r"):
            if not text.startswith("<resumed"):
                self.write(f"<a xmlns='{NS}' h='{self.handled}'/>")
        elif text.startswith("<a"):
            self.on_ack(int(re.search(r"\bh='(\d+)'", text).group(1)))
        elif text.startswith(("<message", "<presence", "<iq")):
            self.handled += 1
            body = re.search(r"<body>(\w+) (\d+) \.", text)
            if text.startswith("<message") and "type='error'" in text[:200]:
                self.errors.append(int(body.group(2)) if body else text)
            elif body:
                self.received.append(int(body.group(2)))
                self.load.latency.append(time.monotonic() - self.load.sent_at[(body.group(1), int(body.group(2)))])
        else:
            raise ConnectionError("the stream ended")

    async def run(self):
        while not self.load.over:
            try:
                await self.connect()
                if self.broken_at:
                    self.pauses.append(time.monotonic() - self.broken_at)
                    self.broken_at = None
                self.online.set()
                while True:
                    at = 0
                    for match in ITEM.finditer(self.text):
                        self.on_item(match.group())
                        at = match.end()
                    self.text = self.text[at:]
                    data = await self.reader.read(65536)
                    if not data:
                        raise ConnectionError("closed")
                    self.text += data.decode()
            except (OSError, ConnectionError, asyncio.TimeoutError):
                if not self.broken_at:
                    self.broken_at = time.monotonic()
                if self.writer:
                    self.writer.close()
                self.writer, self.ready = None, False
                await asyncio.sleep(0.02)   # the pause of a client before it dials again


class Load:
    """`pairs` pairs; `ports` gives the ports of nodes that live, or (address, port); `tls` is a context for ports that begin
    with TLS. Accounts are NAME0 and on: a name of their own for each load, as sessions that end without a farewell leave what was
    not acknowledged to the next. Use: `async with load: …`."""

    def __init__(self, pairs, ports, interval=1.0, tls=None, name="u"):
        self.ports, self.interval, self.over, self.tls = ports, interval, False, tls
        self.sent_at, self.sent_from, self.latency = {}, {}, []
        self.talkers = [Talker(self, f"{name}{i}") for i in range(2 * pairs)]
        for i, talker in enumerate(self.talkers):
            talker.partner = self.talkers[i ^ 1]

    async def speak(self, talker):
        await talker.online.wait()
        await asyncio.sleep(random.random() * self.interval)    # so that not all speak at once
        while not self.quiet:
            talker.say()
            await asyncio.sleep(self.interval)

    async def __aenter__(self):
        self.quiet = False
        self.speakers = []
        self.tasks = [asyncio.create_task(t.run()) for t in self.talkers]
        try:
            await asyncio.wait_for(asyncio.gather(*(t.online.wait() for t in self.talkers)), 60)
        except BaseException:
            await self.__aexit__()
            raise
        self.speakers = [asyncio.create_task(self.speak(t)) for t in self.talkers]
        return self

    def cut(self, share):
        """The connections of so many break: they resume at whichever node they reach."""
        for talker in random.sample(self.talkers, int(len(self.talkers) * share)):
            if talker.writer and talker.ready:
                talker.writer.transport.abort()

    def places(self):
        """Ports of the nodes where somebody is."""
        return {t.port for t in self.talkers}

    def settled(self):
        return all(t.partner.numbers <= len(t.received) + len(t.partner.errors) for t in self.talkers)

    async def finish(self, patience=20):
        """No more new messages; waits until all that were sent have come, or patience is over."""
        self.quiet = True
        await asyncio.gather(*self.speakers)
        until = time.monotonic() + patience
        while not self.settled() and time.monotonic() < until:
            await asyncio.sleep(0.05)

    async def __aexit__(self, *_):
        self.over = self.quiet = True
        for task in self.tasks + self.speakers:
            task.cancel()
        await asyncio.gather(*self.tasks, *self.speakers, return_exceptions=True)
        for t in self.talkers:
            if t.writer:
                t.writer.close()

    def lost(self):
        """(sender, number) of those that neither came nor were answered."""
        return [(t.partner.user, n) for t in self.talkers
                for n in set(range(1, t.partner.numbers + 1)) - set(t.received) - set(t.partner.errors)]

    def account(self):
        """What became of all messages."""
        lost, doubled, disordered = len(self.lost()), 0, 0
        for t in self.talkers:
            got = t.received
            doubled += len(got) - len(set(got))
            first = list(dict.fromkeys(got))
            disordered += sum(a > b for a, b in zip(first, first[1:]))
        pauses = sorted(p for t in self.talkers for p in t.pauses)
        return {"sent": sum(t.numbers for t in self.talkers), "received": sum(len(t.received) for t in self.talkers),
                "answered with an error": sum(len(t.errors) for t in self.talkers),
                "lost": lost, "doubled": doubled, "out of order": disordered,
                "streams resumed": sum(t.resumed for t in self.talkers),
                "streams not resumed": sum(t.failed for t in self.talkers),
                "pause median s": round(pauses[len(pauses) // 2], 3) if pauses else None,
                "pause longest s": round(pauses[-1], 3) if pauses else None,
                "latency longest s": round(max(self.latency), 3) if self.latency else None}
