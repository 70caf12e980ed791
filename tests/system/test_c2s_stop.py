# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Stopping a node: every client is told, and nobody is waited for who has nothing to say."""
import time

CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret
[module:sasl]
"""


def test_clients_are_told_whether_they_have_logged_in_or_not(start_node):
    node = start_node(CONFIG)
    bound, silent, fresh, half = (node.client("alice"), node.client(stream=False), node.client(),
                                  node.client())
    half.authenticate("alice")
    begin = time.monotonic()
    node.stop()
    assert time.monotonic() - begin < 3
    for client in bound, silent, fresh, half:
        client.closed("<system-shutdown.*</stream:stream>$")
        client.drop()
