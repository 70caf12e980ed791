# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Nodes with modules that exist for tests alone: NAME.c beside this file, compiled when asked for."""
import pathlib
import subprocess

from support import MODULES, Node

HERE = pathlib.Path(__file__).parent


def node_with(folder, config, *names):
    """A node, not started yet, that can also load these modules."""
    modules = folder / "modules"
    modules.mkdir()
    for so in MODULES.glob("*.so"):
        (modules / so.name).symlink_to(so)
    for name in names:
        subprocess.run(["cc", "-std=gnu11", "-Wall", "-shared", "-fPIC",
                        "-I", HERE.parents[1] / "include", HERE / f"{name}.c",
                        "-o", modules / f"{name}.so"], check=True)
    return Node(folder, config, args=["--set", f"meerkat.module_path={modules}"])
