# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Every field of the API that the modules of this tree give, whatever their number: who may ask it, and that a test does."""
import pathlib
import re

import pytest

import api
import fields
from fields import Enum

HOSTS = "localhost, mine.example, theirs.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_rdbms]
iterations = 4096
[cets]
listen = 127.0.0.1:0
[discovery_rdbms]
[router]
tables = cets
[roster]
[presence]
[offline]
[sm]
[last]
[private]
[vcard]
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
admin_listen = 127.0.0.1:0
admin_password = rhubarb-5
[admin]
[domain]
"""
SCHEMA = """{ __schema { queryType { name } mutationType { name } subscriptionType { name }
  types { kind name fields { name type { ...T } args { name defaultValue type { ...T } } } inputFields { name type { ...T } } } } }
fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }"""
KINDS = ("query", "mutation", "subscription")


def named(t):
    return named(t["ofType"]) if t.get("ofType") else t["name"]


def is_list(t):
    return t["kind"] == "LIST" or bool(t.get("ofType")) and is_list(t["ofType"])


#: Who or what a field is about: texts with a domain in them. The rest means nothing here.
ABOUT = {"JID": "nobody@{}", "BareJID": "nobody@{}", "FullJID": "nobody@{}/x", "DomainName": "{}"}
PLAIN = {"String": "x", "NonEmptyString": "x", "UserName": "nobody", "Boolean": False, "Int": 1, "PosInt": 1, "NonNegInt": 0,
         "DateTime": "2001-01-01T00:00:00Z", "XmlElement": "<message/>", "LogLevel": Enum("INFO"), "SubAction": Enum("INVITE"),
         "MutualSubAction": Enum("DISCONNECT"), "PresenceType": Enum("UNAVAILABLE"), "PresenceShow": Enum("AWAY")}


class Schema:
    def __init__(self, ask):
        found = ask(SCHEMA).data["__schema"]
        self.types = {t["name"]: t for t in found["types"]}
        #: (kind, category, field as introspection has it)
        self.fields = [(kind, category["name"], field) for kind in KINDS
                       for category in self.types[found[f"{kind}Type"]["name"]]["fields"] if category["name"] != "checkAuth"
                       for field in self.types[named(category["type"])]["fields"]]

    def value(self, t, path, domain_of):
        """A value for an argument; domain_of(path) is asked for the domain of whatever has one."""
        name = named(t)
        if self.types[name]["kind"] == "INPUT_OBJECT":
            value = {f["name"]: self.value(f["type"], f"{path}.{f['name']}", domain_of) for f in self.types[name]["inputFields"]
                     if f["type"]["kind"] == "NON_NULL"}
        else:
            value = ABOUT[name].format(domain_of(path)) if name in ABOUT else PLAIN[name]
        return [value] if is_list(t) else value

    def document(self, kind, category, field, domain_of):
        """The field with all its arguments."""
        composite = self.types[named(field["type"])]["kind"] in ("OBJECT", "UNION", "INTERFACE")
        arguments = {a["name"] + "_": self.value(a["type"], a["name"], domain_of) for a in field["args"]}
        return fields.document(kind, category, field["name"], "__typename" if composite else "", **arguments)

    def about(self, field):
        """The paths of arguments that have a domain."""
        paths = []
        for a in field["args"]:
            self.value(a["type"], a["name"], paths.append)
        return paths


@pytest.fixture(scope="module")
def schemas(node):
    return {"admin": Schema(api.admin(node)), "user": Schema(api.Api(node.port("graphql_user")))}


# -- administrators of a domain

#: What is for the administrator of the server alone, as names of categories or of their fields.
GLOBAL = {"server", "metric", "module", "config", "log", "cets", "cluster", "stat.globalStats", "stanza.sendStanza",
          "account.importUsers", "domain.allDomains", "domain.domainsByHostType", "domain.addDomain", "domain.removeDomain",
          "domain.requestRemoveDomain", "domain.enableDomain", "domain.disableDomain", "domain.deleteDomainPassword"}
#: Others that a user of the domain may have to do with: the addressee of a message, somebody in the roster.
OTHERS = {"stanza.sendMessage": {"to"}, "stanza.sendMessageHeadLine": {"to"}, "roster.getContact": {"contact"},
          "roster.addContact": {"contact"}, "roster.addContacts": {"contacts.jid"}, "roster.subscription": {"contact"},
          "roster.deleteContact": {"contact"}, "roster.deleteContacts": {"contacts"}, "roster.subscribeToAll": {"contacts.jid"}}


@pytest.fixture(scope="module")
def of_mine(node):
    """The administrator of mine.example."""
    ask = fields.Fields(api.admin(node))
    ask.mutation("domain", "setDomainPassword", domain="mine.example", password="x")
    return api.Api(node.port("graphql_admin"), "admin@mine.example", "x")


def is_refused(ask, document):
    """Not allowed, before anything of it has run."""
    answer = ask(document)                                          # a subscription that is allowed gets 400 here
    refused = answer.status == 401
    assert not refused or answer.codes == ["no_permissions"] and "data" not in answer.json, answer.text
    assert refused or "no_permissions" not in answer.text, answer.text
    return refused


def test_an_administrator_of_a_domain_reaches_no_other_by_any_field(schemas, of_mine):
    for kind, category, field in schemas["admin"].fields:
        document = schemas["admin"].document(kind, category, field, lambda path: "theirs.example")
        assert is_refused(of_mine, document), document


def test_each_argument_that_says_whom_it_is_about_is_looked_at(schemas, of_mine):
    for kind, category, field in schemas["admin"].fields:
        name = f"{category}.{field['name']}"
        if {category, name} & GLOBAL:
            continue
        for there in schemas["admin"].about(field):
            document = schemas["admin"].document(kind, category, field,
                                                 lambda path, there=there: "theirs.example" if path == there else "mine.example")
            assert is_refused(of_mine, document) == (there not in OTHERS.get(name, ())), document


def test_an_administrator_of_a_domain_may_do_in_it_what_is_not_for_the_servers_alone(schemas, of_mine):
    for kind, category, field in schemas["admin"].fields:
        document = schemas["admin"].document(kind, category, field, lambda path: "mine.example")
        assert is_refused(of_mine, document) == bool({category, f"{category}.{field['name']}"} & GLOBAL), document


def test_without_credentials_no_field_is_answered(node, schemas):
    for place, schema in (("graphql_admin", "admin"), ("graphql_user", "user")):
        nobody = api.Api(node.port(place))
        for kind, category, field in schemas[schema].fields:
            document = schemas[schema].document(kind, category, field, lambda path: "localhost")
            assert is_refused(nobody, document), document


# -- users

#: Where a user's API names somebody at all, and what others see of that: test_api_*.py says the same of each, with two users.
NAMED_BY_USERS = {"roster.getContact.contact", "roster.addContact.contact", "roster.addContacts.contacts.jid",
                  "roster.subscription.contact", "roster.deleteContact.contact", "roster.deleteContacts.contacts",  # the own roster
                  "last.getLast.user",                                        # as presence allows
                  "vcard.getVcard.user",                                      # public
                  "stanza.sendMessage.to", "stanza.sendMessageHeadLine.to",
                  "stanza.sendMessage.from", "stanza.sendMessageHeadLine.from"}  # the user alone


def test_a_user_can_name_another_only_where_that_is_meant(schemas):
    named_ = {f"{category}.{field['name']}.{path}" for _, category, field in schemas["user"].fields
              for path in schemas["user"].about(field)}
    assert named_ == NAMED_BY_USERS


# -- secrets

def test_no_secret_that_any_field_takes_is_in_the_log_at_level_debug(node, schemas):
    ask = fields.Fields(api.admin(node))
    ask.mutation("server", "setLoglevel", level=Enum("DEBUG"))
    ask.mutation("account", "registerUser", "jid", domain="localhost", username="vera", password="n33dle-vera")
    as_vera = api.user(node, "vera", "n33dle-vera")
    taken = 0
    for schema, who in (("admin", api.admin(node)), ("user", as_vera)):
        for kind, category, field in schemas[schema].fields:
            secret = [a["name"] for a in field["args"] if "assword" in a["name"]]
            if secret:
                document = schemas[schema].document(kind, category, field, lambda path: "localhost")
                for name in secret:
                    document = re.sub(rf'{name}: "x"', f'{name}: "n33dle-{field["name"]}"', document)
                assert "n33dle" in document
                who(document), who.get(document)
                taken += 1
    node.client("vera", "n33dle-changePassword").drop()
    ask.mutation("server", "setLoglevel", level=Enum("INFO"))
    assert taken >= 6
    assert "vera@localhost" in node.log() and "n33dle" not in node.log()


# -- the tests themselves

def lines_of_tests():
    for path in pathlib.Path(__file__).parent.glob("test_*.py"):
        if path.name != pathlib.Path(__file__).name:
            yield from path.read_text(encoding="utf-8").splitlines()


def test_each_field_is_asked_by_some_test(schemas):
    lines = list(lines_of_tests())
    as_user = [line for line in lines if re.search(r"mine\.|as_alice|as_user\(|api\.user\(|subscribe", line)]
    missing = [f"{category}.{field['name']} of the {schema} schema" for schema, where in (("admin", lines), ("user", as_user))
               for _, category, field in schemas[schema].fields
               if not any(map(re.compile(rf"\b{category}\b\W.*\b{field['name']}\b").search, where))]
    assert not missing
