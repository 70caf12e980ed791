# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""`./dev bench` prints its table: every row runs, and measures something."""
import pathlib
import re
import subprocess

from support import BUILD

TABLE = pathlib.Path(__file__).parents[2] / "tools" / "bench" / "table.py"


def test_every_row_of_the_bench_table_is_measured():
    done = subprocess.run(["python3", TABLE, BUILD, "--quick", "--seconds", "0.3"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| [^|]+ \| ([0-9.]+) \| [0-9.]+ \| [0-9.]+ \|", done.stdout, re.M)
    assert len(rows) == 10 and all(float(row) > 0 for row in rows), done.stdout
    assert "# errors" not in done.stderr, done.stderr
