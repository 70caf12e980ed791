# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""A client of the GraphQL API for tests: plain requests over TCP or the Unix socket."""
import base64
import http.client
import json
import socket
import urllib.parse

from support import PATIENCE


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def data(self):
        answer = self.json
        assert "errors" not in answer, answer
        assert self.status == 200, (self.status, answer)
        return answer["data"]

    @property
    def errors(self):
        return self.json["errors"]

    @property
    def codes(self):
        return [e["extensions"]["code"] for e in self.errors]


class Api:
    """`where`: a port, or the path of a Unix socket."""

    def __init__(self, where, user=None, password=None):
        self.where = where
        self.headers = basic(user, password) if user else {}

    def connection(self):
        if isinstance(self.where, int):
            return http.client.HTTPConnection("127.0.0.1", self.where, timeout=PATIENCE)
        return UnixConnection(self.where)

    def request(self, method, path="/api/graphql", body=None, headers=None):
        c = self.connection()
        c.request(method, path, body, {**self.headers, **(headers or {})})
        answer = Answer(c.getresponse())
        c.close()
        return answer

    def __call__(self, query, variables=None, operation=None, headers=None, **more):
        """The answer to a query, sent as JSON."""
        body = {"query": query, **more}
        if variables is not None:
            body["variables"] = variables
        if operation is not None:
            body["operationName"] = operation
        return self.request("POST", body=json.dumps(body),
                            headers={"Content-Type": "application/json", **(headers or {})})

    def get(self, query, headers=None, **parameters):
        return self.request("GET", "/api/graphql?" + urllib.parse.urlencode({"query": query, **parameters}),
                            headers=headers)


def admin(node):
    """Over the Unix socket."""
    return Api(node.folder / "api.sock")


def user(node, name, password="secret", host="localhost"):
    return Api(node.port("graphql_user"), f"{name}@{host}", password)
