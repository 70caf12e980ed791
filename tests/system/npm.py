# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""JavaScript that tests compare with: the packages of tests/graphql/package.json, installed once below var/."""
import fcntl
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "graphql"
FOLDER = ROOT / "var" / "npm"


def install():
    wanted = (TESTS / "package-lock.json").read_bytes()
    lock = FOLDER / "package-lock.json"
    done = FOLDER / "done"
    if done.exists() and lock.read_bytes() == wanted:
        return
    done.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TESTS / name, FOLDER / name)
    npm = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--prefix", FOLDER], capture_output=True, text=True,
                         timeout=120)
    if npm.returncode:
        pytest.skip("npm reaches no registry: " + npm.stderr.strip().splitlines()[-1])
    done.touch()


def modules():
    """The folder in which node finds the packages; skips the test where there is no node, or nowhere to get them from."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            pytest.skip(f"there is no program '{program}'")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        install()
    return FOLDER
