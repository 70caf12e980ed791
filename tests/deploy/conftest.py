# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Installation, packages, containers, the Helm chart. What tests/system has to start nodes is used here as well."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import pytest

import database


@pytest.fixture(scope="session", autouse=True)
def databases():
    yield
    database.destroy_shared()
