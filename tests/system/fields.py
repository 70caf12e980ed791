# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""One field of the GraphQL API at a time, for tests of categories.

    ask = Fields(api.admin(node))
    ask.query("account", "listUsers", domain="localhost")
    ask.mutation("account", "registerUser", "jid message", domain="localhost", password="secret")
    assert ask.fails("account", "removeUser", "jid", kind="mutation", user="nobody@localhost") == "not_allowed"
"""
import json


class Enum(str):
    """A bare word in a query."""


def literal(value):
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)


def document(kind, category, name, selection="", /, **arguments):
    given = ", ".join(f"{k.rstrip('_')}: {literal(v)}" for k, v in arguments.items())
    field = name + (f"({given})" if given else "") + (f" {{ {selection} }}" if selection else "")
    return f"{kind} {{ {category} {{ {field} }} }}"


class Fields:
    def __init__(self, api):
        self.api = api

    def ask(self, kind, category, name, selection="", /, **arguments):
        return self.api(document(kind, category, name, selection, **arguments))

    def query(self, category, name, selection="", /, **arguments):
        return self.ask("query", category, name, selection, **arguments).data[category][name]

    def mutation(self, category, name, selection="", /, **arguments):
        return self.ask("mutation", category, name, selection, **arguments).data[category][name]

    def fails(self, category, name, selection="", /, kind="mutation", **arguments):
        """The code of the one error that this must give."""
        answer = self.ask(kind, category, name, selection, **arguments)
        assert "errors" in answer.json, answer.json
        (code,) = answer.codes
        return code
