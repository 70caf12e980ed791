# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Nodes with modules that exist for tests alone: NAME.c beside this file, compiled when asked for."""
import pathlib
import subprocess

from support import MODULES, Node

HERE = pathlib.Path(__file__).parent


def module_folder(folder):
    """A module path of its own, with all of ours in it."""
    modules = folder / "modules"
    modules.mkdir(parents=True)
    for so in MODULES.glob("*.so"):
        (modules / so.name).symlink_to(so)
    return modules


def compile_module(modules, source, name=None, libs=(), **defines):
    """Compiles SOURCE.c as the module `name`; defines are strings of C, other values as they are."""
    name = name or source
    flags = [f'-D{k}="{v}"' if isinstance(v, str) else f"-D{k}={v}" for k, v in defines.items()]
    # Replaced as a whole, as an installation does: the old file may be in use.
    fresh = modules / f"{name}.new"
    subprocess.run(["cc", "-std=gnu11", "-Wall", "-shared", "-fPIC", *flags,
                    "-I", HERE.parents[1] / "include", HERE / f"{source}.c", "-o", fresh, *libs],
                   check=True)
    fresh.rename(modules / f"{name}.so")


def node_with(folder, config, *names):
    """A node, not started yet, that can also load these modules."""
    modules = module_folder(folder)
    for name in names:
        compile_module(modules, name)
    return Node(folder, config, args=["--set", f"meerkat.module_path={modules}"])
