# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Our GraphQL engine against graphql-js, the reference that the specification's authors keep."""
import json
import re
import subprocess

import api
import extra
import npm
import support

CONFIG = """
[module:http]
listen = 127.0.0.1:0
[module:graphql]
admin_listen = 127.0.0.1:0
admin_password = geheim
[module:t_graphql]
"""


def test_hundreds_of_requests_are_answered_as_graphql_js_answers_them():
    modules = npm.modules()
    subprocess.run(["make", "-s", "-C", support.BUILD, "graphql_runner"], check=True, capture_output=True)
    done = subprocess.run(["node", npm.TESTS / "compare.mjs", support.BUILD / "graphql_runner", modules],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) compared, 0 differ", done.stdout).group(1)) > 350


def test_the_client_of_graphql_sse_follows_a_subscription_as_it_is(tmp_path):
    modules = npm.modules()
    folder = extra.module_folder(tmp_path)
    extra.compile_module(folder, "t_graphql", libs=["-ljansson"], MK_NAME="t_graphql")
    node = support.Node(tmp_path, CONFIG, args=["--set", f"meerkat.module_path={folder}"]).start()
    try:
        done = subprocess.run(
            ["node", npm.TESTS / "subscribe.mjs", f"http://127.0.0.1:{node.port('graphql_admin')}/api/graphql/sse",
             api.basic("admin", "geheim")["Authorization"], modules,
             "subscription { t { ticks(count: 3) { number slow } } }"], capture_output=True, text=True, timeout=60)
    finally:
        node.stop()
    assert done.returncode == 0, done.stderr
    *events, last = done.stdout.splitlines()
    assert last == "done"
    assert [json.loads(e) for e in events] == [{"data": {"t": {"ticks": {"number": n, "slow": n}}}} for n in (1, 2, 3)]
