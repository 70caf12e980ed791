# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Our GraphQL engine against graphql-js, the reference that the specification's authors keep."""
import re
import subprocess

import npm
import support


def test_hundreds_of_requests_are_answered_as_graphql_js_answers_them():
    modules = npm.modules()
    subprocess.run(["make", "-s", "-C", support.BUILD, "graphql_runner"], check=True, capture_output=True)
    done = subprocess.run(["node", npm.TESTS / "compare.mjs", support.BUILD / "graphql_runner", modules],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) compared, 0 differ", done.stdout).group(1)) > 350
