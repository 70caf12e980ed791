# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Accounts in the database: the rows that MongooseIM writes open sessions here."""
import hashlib
import hmac
import os

import pytest

from support import END, HASHES, Client, auth, b64, scram, wait_for

CONFIG = """
[c2s]
listen = 127.0.0.1:0
[router]
[sasl]
[auth_rdbms]
iterations = 4096
"""
PREFIX = {"sha1": "===SHA1===", "sha256": "==SHA256==", "sha512": "==SHA512=="}


def keys(alg, password, salt, iterations):
    salted = hashlib.pbkdf2_hmac(alg, password.encode(), salt, iterations)
    stored = hashlib.new(alg, hmac.digest(salted, b"Client Key", alg)).digest()
    return stored, hmac.digest(salted, b"Server Key", alg)


def multi_scram(password, iterations=4096, hashes=PREFIX):
    """pass_details as MongooseIM 6 writes it."""
    parts = []
    for alg in hashes:
        salt = os.urandom(16)
        stored, server = keys(alg, password, salt, iterations)
        parts.append(f"{PREFIX[alg]}{b64(salt)}|{b64(stored)}|{b64(server)}")
    return f"==MULTI_SCRAM==,{iterations}," + ",".join(parts)


def single_scram(password, iterations=4096):
    """pass_details as old versions wrote it."""
    salt = os.urandom(16)
    stored, server = keys("sha1", password, salt, iterations)
    return f"==SCRAM==,{b64(stored)},{b64(server)},{b64(salt)},{iterations}"


@pytest.fixture
def db(node):
    connection = node.db()
    yield connection
    connection.execute("DELETE FROM users")
    connection.close()


def insert(db, user, password="", details=None, host="localhost"):
    db.execute("INSERT INTO users (server, username, password, pass_details) VALUES (?, ?, ?, ?)",
               (host, user, password, details))


def row(db, user):
    return db.execute("SELECT password, pass_details FROM users WHERE username = ?",
                      (user,)).fetchone()


@pytest.fixture
def client(node):
    with Client(node.port()) as c:
        yield c


def plain(client, user, password):
    client.send(auth("PLAIN", f"\0{user}\0{password}"))
    return client.until(END)


@pytest.mark.parametrize("mechanism", HASHES)
def test_row_of_mongooseim_opens_with_scram(db, client, mechanism):
    insert(db, "juliet", details=multi_scram("r0m30"))
    assert "<success" in scram(client, mechanism, "juliet", "r0m30")


def test_row_of_mongooseim_opens_with_plain(db, client):
    insert(db, "juliet", details=multi_scram("r0m30"))
    assert "<not-authorized" in plain(client, "juliet", "wrong")
    assert "<success" in plain(client, "juliet", "r0m30")


def test_old_row_has_sha1_only(db, client):
    insert(db, "juliet", details=single_scram("r0m30"))
    assert "<success" in scram(client, "SCRAM-SHA-1", "juliet", "r0m30")


def test_old_row_opens_with_plain(db, client):
    insert(db, "juliet", details=single_scram("r0m30"))
    assert "<success" in plain(client, "juliet", "r0m30")


def test_hosts_have_accounts_of_their_own(db, client):
    insert(db, "juliet", details=multi_scram("r0m30"), host="elsewhere")
    assert "<not-authorized" in plain(client, "juliet", "r0m30")


def test_no_account(db, client):
    assert "<not-authorized" in plain(client, "nobody", "r0m30")
    assert "<not-authorized" in scram(client, "SCRAM-SHA-256", "nobody", "r0m30")


@pytest.mark.parametrize("how", ["PLAIN", "SCRAM-SHA-256"])
def test_plain_text_is_replaced_by_keys_at_the_first_login(db, node, client, how):
    insert(db, "juliet", password="r0m30")
    if how == "PLAIN":
        assert "<not-authorized" in plain(client, "juliet", "wrong")
        assert row(db, "juliet") == ("r0m30", None)
        assert "<success" in plain(client, "juliet", "r0m30")
    else:
        assert "<success" in scram(client, how, "juliet", "r0m30")
    password, details = wait_for(lambda: (r := row(db, "juliet"))[1] and r, "keys in the row")
    assert password == "" and details.startswith("==MULTI_SCRAM==,4096,===SHA1===")
    with Client(node.port()) as again:
        assert "<success" in scram(again, "SCRAM-SHA-512", "juliet", "r0m30")


def test_locked_account(db, client):
    insert(db, "juliet", password="")
    assert "<not-authorized" in plain(client, "juliet", "r0m30")
    assert "<not-authorized" in scram(client, "SCRAM-SHA-1", "juliet", "")


def test_damaged_row_is_a_temporary_failure_and_is_logged(db, node, client):
    insert(db, "juliet", details="==MULTI_SCRAM==,x")
    assert "<temporary-auth-failure" in plain(client, "juliet", "r0m30")
    node.wait_log("pass_details of account 'juliet@localhost' cannot be read")


def test_login_and_bind(db, node):
    insert(db, "juliet", details=multi_scram("r0m30"))
    with node.client("juliet", "r0m30") as c:
        assert c.jid == "juliet@localhost/test"


def test_accounts_survive_a_restart(start_node):
    node = start_node(CONFIG)
    with node.db() as db:
        insert(db, "juliet", details=multi_scram("r0m30"))
    node.stop()
    node.start()
    node.client("juliet", "r0m30").close()
