# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Accounts in files of XEP-0227: out of one server and into another without a difference, and out of other servers."""
import base64
import hashlib
import hmac
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import pytest

from support import BUILD, Node

CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[roster]
[presence]
[offline]
[vcard]
[private]
[blocking]
[disco]
"""
HERE = pathlib.Path(__file__).parent


def run(node, *args, ok=True):
    done = subprocess.run([BUILD / "meerkatd", "--config", node.ini, *node.args, "--run", *args], capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def item(roster, jid):
    return re.search(f"<item [^>]*jid='{jid}'[^>]*>", roster).group(0)


@pytest.fixture
def make_node(tmp_path):
    nodes = []

    def make(kind="sqlite", hosts="localhost", config=CONFIG):
        nodes.append(Node(tmp_path / f"node{len(nodes)}", config, kind=kind, hosts=hosts))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()


def scram_element(password, alg="sha1", iterations=4096):
    salt = hashlib.sha256(password.encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac(alg, password.encode(), salt, iterations)
    stored = hashlib.new(alg, hmac.digest(salted, b"Client Key", alg)).digest()
    server = hmac.digest(salted, b"Server Key", alg)
    name = {"sha1": "SCRAM-SHA-1", "sha256": "SCRAM-SHA-256", "sha512": "SCRAM-SHA-512"}[alg]
    texts = [base64.b64encode(b).decode() for b in (salt, server, stored)]
    return (f"<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='{name}'><iter-count>{iterations}</iter-count><salt>{texts[0]}</salt>"
            f"<server-key>{texts[1]}</server-key><stored-key>{texts[2]}</stored-key></scram-credentials>")


def user(i, count):
    """A user with some of everything, as another server could write it."""
    name = f"user{i}" if i % 7 else f"üser{i}"
    items = "".join(f"<item jid='user{(i + k) % count}@localhost' name='{escape('<Friend> & ' + chr(0x1F600 + k))}' "
                    f"subscription='{('none', 'to', 'from', 'both')[k % 4]}'{' ask=' + chr(39) + 'subscribe' + chr(39) if k == 4 else ''}"
                    f"{' approved=' + chr(39) + 'true' + chr(39) if k == 5 else ''}>"
                    + "".join(f"<group>G{g} &lt;</group>" for g in range(k % 3)) + "</item>" for k in range(1, 8))
    messages = "".join(f"<message xmlns='jabber:client' from='user{(i + k) % count}@localhost/r' to='{name}@localhost' type='chat' id='{i}-{k}'>"
                       f"<body>text {k} &#9731;\n second line</body><x xmlns='urn:x' xml:lang='en' y='&apos;&quot;'/>"
                       f"<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-0{1 + k}T01:02:03.00000{k}Z'/></message>" for k in range(i % 4))
    return (f"<user name='{name}'>{scram_element(f'pw{i}')}{scram_element(f'pw{i}', 'sha256', 5000)}"
            f"<query xmlns='jabber:iq:roster'>{items}</query>"
            f"<presence xmlns='jabber:client' type='subscribe' from='user{(i + 1) % count}@localhost'><status>please &amp; thanks</status></presence>"
            f"<presence xmlns='jabber:client' type='subscribe' from='stranger{i}@far.example'/>"
            f"<vCard xmlns='vcard-temp'><FN>User {i}</FN><N><FAMILY>Ü</FAMILY></N><PHOTO><BINVAL>{'QUJD' * 50}</BINVAL></PHOTO></vCard>"
            f"<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference name='r' jid='r{i}@muc.example'/></storage>"
            f"<roster xmlns='roster:delimiter'>::</roster></query>"
            f"<blocklist xmlns='urn:xmpp:blocking'><item jid='spam{i}@far.example'/><item jid='bad.example'/></blocklist>"
            + (f"<offline-messages>{messages}</offline-messages>" if messages else "") + "</user>\n")


def write(path, count):
    with open(path, "w") as f:
        f.write("<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>\n")
        f.writelines(user(i, count) for i in range(count))
        f.write("</host></server-data>\n")


def check_user_7(node):
    """What a client sees of one of them."""
    with node.client("üser7", "pw7") as c:
        roster = c.iq("get", "<query xmlns='jabber:iq:roster'/>")
        assert roster.count("<item") == 7 and "name='&lt;Friend&gt; &amp; \U0001F601'" in roster
        assert "ask='subscribe'" in item(roster, "user11@localhost")
        assert "<FN>User 7</FN>" in c.iq("get", "<vCard xmlns='vcard-temp'/>")
        assert "r7@muc.example" in c.iq("get", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>")
        assert "spam7@far.example" in c.iq("get", "<blocklist xmlns='urn:xmpp:blocking'/>")
        c.presence()
        bodies = [re.search("<body>(.*?)</body>", c.stanza("<body>"), re.S).group(1) for _ in range(3)]
        assert [b.split()[1] for b in bodies] == ["0", "1", "2"]


def test_a_thousand_users_go_round_without_a_difference(make_node, tmp_path):
    """SQLite, PostgreSQL and SQLite again; with each the file that comes out is the same."""
    count = 1000
    write(tmp_path / "in.xml", count)
    source = tmp_path / "in.xml"
    for i, kind in enumerate(("sqlite", "pgsql", "sqlite")):
        node = make_node(kind)
        out = run(node, "import", source)
        assert f"imported {count} users" in out and "failed" not in out and "passed over" not in out
        target = tmp_path / f"out{i}.xml"
        assert f"exported {count} users" in run(node, "export", target)
        assert target.stat().st_mode & 0o777 == 0o600
        if i:
            # Users come in the order of the database.
            assert sorted(target.read_text().splitlines()) == sorted(source.read_text().splitlines())
        source = target
        node.start()
        check_user_7(node)
        node.stop()
    # Nothing is lost: every text of the first file is in the last.
    first, last = (p.read_text() for p in (tmp_path / "in.xml", source))
    for tag in ("<item jid=", "<group>", "<message", "<FN>", "<conference", "<stored-key>", "type='subscribe'", "spam"):
        assert first.count(tag) == last.count(tag), tag


def test_accounts_that_are_there_are_left_alone(make_node, tmp_path):
    write(tmp_path / "a.xml", 10)
    node = make_node()
    run(node, "import", tmp_path / "a.xml")
    before = run(node, "export", "-")
    assert "imported 0 users with 0 things; 10 were there already" in run(node, "import", tmp_path / "a.xml")
    assert run(node, "export", "-") == before


def test_files_of_prosody_come_in_with_their_passwords(make_node):
    node = make_node()
    out = run(node, "import", *sorted((HERE / "prosody").glob("*.xml")))
    assert "imported 3 users" in out and "passed over" not in out
    node.start()
    with node.client("user0000", "pw-user0000") as c:
        roster = c.iq("get", "<query xmlns='jabber:iq:roster'/>")
        assert roster.count("<item") == 5 and "ask='subscribe'" in item(roster, "user0001@localhost")
        assert "r0@muc.example" in c.iq("get", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>")
        c.presence()
        assert "user0999@localhost" in c.stanza("type='subscribe'")


def shape(e):
    """An element in a form that can be compared: children of rosters and vCards have no order, requests no receiver."""
    attributes = {k: v for k, v in e.attrib.items() if not (e.tag.endswith("}presence") and k == "to")}
    children = [shape(c) for c in e]
    return e.tag, sorted(attributes.items()), (e.text or "").strip(), (
        children if e.tag.endswith("offline-messages") else sorted(children))


def things(text):
    """Users in XEP-0227, by name: what they have but for keys and block lists."""
    return {user.get("name"): sorted(shape(e) for e in user if not e.tag.endswith(("}scram-credentials", "}blocklist", ":privacy}query")))
            for user in ET.fromstring(text).iter("{urn:xmpp:pie:0}user")}


def test_files_that_ejabberd_wrote_come_in_with_passwords_and_block_lists_and_go_out_the_same(make_node):
    """Written by ejabberd 23.01: keys in base64 twice, block lists as privacy lists."""
    files = sorted((HERE / "ejabberd").glob("*.xml"))
    node = make_node()
    out = run(node, "import", *files)
    assert "imported 4 users with 30 things" in out and "passed over" not in out and "no password" not in out
    # The language of the text of a request to see somebody's presence is not kept.
    assert things(run(node, "export", "-")) == things(
        re.sub("<status xml:lang='en'>", "<status>", files[1].read_text()))
    node.start()
    for i in range(4):
        with node.client(f"user{i}" if i else "üser0", f"pw{i}") as c:
            assert f"spam{i}@far.example" in c.iq("get", "<blocklist xmlns='urn:xmpp:blocking'/>")


def test_of_privacy_lists_those_denied_altogether_by_the_list_in_force_are_blocked(make_node, tmp_path):
    (tmp_path / "a.xml").write_text(
        HEAD + "<user name='a' password='x'><query xmlns='jabber:iq:privacy'><default name='one'/><list name='one'>"
        "<item type='jid' value='bad@far.example' action='deny' order='1'/><item type='jid' value='in@far.example' action='deny' order='2'>"
        "<presence-in/></item><item type='group' value='g' action='deny' order='3'/><item action='allow' order='4'/></list>"
        "<list name='two'><item type='jid' value='other@far.example' action='deny' order='1'/></list></query></user>" + TAIL)
    node = make_node()
    assert "imported 1 users with 1 things" in (out := run(node, "import", tmp_path / "a.xml")) and "4 things were passed over" in out
    node.start()
    with node.client("a", "x") as c:
        assert re.findall("jid='(.*?)'", c.iq("get", "<blocklist xmlns='urn:xmpp:blocking'/>").split("<blocklist")[1]) == ["bad@far.example"]


def test_files_in_the_manner_of_ejabberd_come_in(make_node, tmp_path):
    """A file that includes one for each host; keys in the password."""
    key = scram_element("montague")
    salt, server, stored = (re.search(f"<{t}>(.*?)<", key).group(1) for t in ("salt", "server-key", "stored-key"))
    (tmp_path / "all.xml").write_text("<?xml version='1.0'?><server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'>"
                                      "<xi:include href='one.xml'/>\n<xi:include href='two.xml'/></server-data>")
    (tmp_path / "one.xml").write_text("<?xml version='1.0'?><host xmlns='urn:xmpp:pie:0' jid='localhost'><user name='romeo' "
                                      f"password='scram:{stored},{server},{salt},4096'/><user name='juliet' password='capulet'/></host>")
    (tmp_path / "two.xml").write_text("<host xmlns='http://www.xmpp.org/extensions/xep-0227.html#ns' jid='b.example'>"
                                      "<user name='paris' password='x'/></host>")
    node = make_node(hosts="localhost, b.example")
    assert "imported 3 users" in run(node, "import", tmp_path / "all.xml")
    node.start()
    for name, password, host in (("romeo", "montague", "localhost"), ("juliet", "capulet", "localhost"), ("paris", "x", "b.example")):
        node.client(name, password, host=host).close()
    with node.client() as c, pytest.raises(AssertionError, match="not-authorized"):
        c.login("romeo", f"scram:{stored},{server},{salt},4096")


def test_one_host_alone_goes_out(make_node, tmp_path):
    (tmp_path / "a.xml").write_text("<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'><user name='a'/></host>"
                                    "<host jid='b.example'><user name='b'/></host></server-data>")
    node = make_node(hosts="localhost, b.example")
    run(node, "import", tmp_path / "a.xml")
    assert re.findall("host jid='(.*?)'|user name='(.*?)'", run(node, "export", "-", "b.example")) == [("b.example", ""), ("", "b")]
    assert "does not serve 'c.example'" in run(node, "export", "-", "c.example", ok=False)


HEAD = "<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>"
TAIL = "</host></server-data>"
BAD = {
    "no file": (None, "cannot read '{file}': No such file or directory"),
    "not XML": ("hello", "{file}:1: syntax error"),
    "another format": ("<html/>", "{file}:1: this is no file of XEP-0227: it begins with <html/>"),
    "cut off": (HEAD + "<user name='a'/>", "{file}:1: no element found"),
    "no name": (HEAD + "<user/>" + TAIL, "{file}:1: a user has no name"),
    "no host": ("<server-data xmlns='urn:xmpp:pie:0'><user name='a'/></server-data>", "{file}:1: a user stands outside of a host"),
    "entities": ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + HEAD + TAIL, "{file}:1: a document type is not allowed"),
    "missing include": (HEAD + "<i:include xmlns:i='http://www.w3.org/2001/XInclude' href='none.xml'/>" + TAIL, "none.xml': No such file"),
    "circle": (HEAD + "<i:include xmlns:i='http://www.w3.org/2001/XInclude' href='bad.xml'/>" + TAIL, "files include each other more than"),
    "too deep": (HEAD + "<user name='a'>" + "<x>" * 300, "nested too deeply"),
    "too much": (HEAD + "<user name='a'><x>" + "<y>0123456789</y>" * 10000 + "</x></user>" + TAIL, "more data than xep0227.max_user"),
    "foreign host": (HEAD.replace("localhost", "far.example") + "<user name='a'/>" + TAIL, "a@far.example: this server does not serve that host"),
    "bad name": (HEAD + "<user name='a b'/>" + TAIL, "a b@localhost: this is no address"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_place(make_node, tmp_path, name):
    content, error = BAD[name]
    file = tmp_path / "bad.xml"
    if content:
        file.write_text(content)
    node = make_node(config=CONFIG + "[xep0227]\nmax_user = 64K\n")
    assert error.format(file=file) in run(node, "import", file, ok=False)


def test_what_could_be_read_before_a_mistake_is_in_and_a_second_try_goes_on(make_node, tmp_path):
    (tmp_path / "a.xml").write_text(HEAD + "<user name='a'/><user name='b'/><oops")
    node = make_node()
    run(node, "import", tmp_path / "a.xml", ok=False)
    (tmp_path / "a.xml").write_text(HEAD + "<user name='a'/><user name='b'/><user name='c'/>" + TAIL)
    assert "imported 1 users with 0 things; 2 were there already" in run(node, "import", tmp_path / "a.xml")


def test_a_file_that_is_there_is_not_overwritten(make_node, tmp_path):
    node = make_node()
    (tmp_path / "there").write_text("precious")
    assert "is there already" in run(node, "export", tmp_path / "there", ok=False)
    assert (tmp_path / "there").read_text() == "precious" and not list(tmp_path.glob("*.part"))
