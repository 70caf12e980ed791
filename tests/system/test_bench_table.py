# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""`./dev bench` prints its table: every row runs, and measures something."""
import pathlib
import re
import shutil
import subprocess

from support import BUILD

BENCH = pathlib.Path(__file__).parents[2] / "tools" / "bench"
TABLE = BENCH / "table.py"


def test_every_row_of_the_bench_table_is_measured():
    done = subprocess.run(["python3", TABLE, BUILD, "--quick", "--seconds", "0.3"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| [^|]+ \| ([0-9.]+) \| [0-9.]+ \| [0-9.]+ \|", done.stdout, re.M)
    assert len(rows) == 10 and all(float(row) > 0 for row in rows), done.stdout
    assert "# errors" not in done.stderr, done.stderr


def test_other_servers_that_are_installed_get_the_same_load_and_leave_nothing_behind():
    names = ["Meerkat"] + [name for name, program in (("Prosody", "prosody"), ("ejabberd", "ejabberdctl"))
                           if shutil.which(program)]
    done = subprocess.run(["/usr/bin/python3", BENCH / "peers.py", BUILD, "--quick", "--seconds", "0.3", "--only",
                           ",".join(names), "chat8", "login"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| CPU .*$", done.stdout, re.M)
    assert len(rows) == 2, done.stdout
    for row in rows:
        assert all(re.match(r" [0-9]", cell) for cell in row.split("|")[2:-1]), done.stdout
    assert "# " not in done.stderr, done.stderr
    left = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if "meerkat-peers-" in read(p)]
    assert not left


def api(*words):
    done = subprocess.run(["/usr/bin/python3", BENCH / "api.py", BUILD, *words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return {what: float(measured) for what, measured in re.findall(r"^\| ([^|]+) \| (-?[0-9.]+)(?: \(!\))? \|", done.stdout, re.M)}


def test_the_api_is_measured_beside_a_bare_route():
    rows = api("--quick", "keep", "register", "metrics")
    assert len(rows) == 8, rows
    for what, measured in rows.items():
        # One measurement less another is any number where both are that short.
        assert "lag" in what or "while" in what or "one at a time" in what or "without" in what or measured > 0, (what, measured)


# Memory of a node that is that young still grows a little: this finds a leak of a few tens of bytes a request.
def test_a_flood_of_requests_leaves_no_memory_behind():
    assert "growth, %" in api("--soak", "6", "--growth", "25")


def read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def run(script, *arguments):
    done = subprocess.run(["/usr/bin/python3", BENCH / script, BUILD, *arguments], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_every_row_of_the_table_of_a_cluster_is_measured():
    done = run("cluster.py", "--quick", "--seconds", "0.2")
    rows = re.findall(r"^\| ([^|]+) \| ([0-9][^|]*) \| [^|]* \| \d+ \|$", done.stdout, re.M)
    assert len(rows) == 22, done.stdout
    assert "# " not in done.stderr, done.stderr


def test_a_rolling_restart_and_a_hard_kill_are_accounted_for():
    done = run("rolling.py", "--pairs", "5", "--talk", "0.5", "--acknowledge", "safe")
    assert done.stdout.count('"adds up": true') == 2 and done.stdout.count('"lost": 0') == 2, done.stdout


def test_the_coming_and_going_of_nodes_is_measured():
    done = run("start.py", "--quick")
    rows = re.findall(r"^\| [^|]+ \| ([0-9.]+) \([0-9.]+\) \| ≤ [0-9.]+ \| \d+ \|$", done.stdout, re.M)
    assert len(rows) == 5 and all(float(row) > 0 for row in rows), done.stdout
