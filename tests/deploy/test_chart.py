# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The Helm chart: what it renders is what its values say and what Kubernetes takes, and an upgrade without a change changes nothing."""
import base64
import concurrent.futures
import http.server
import json
import os
import pathlib
import re
import subprocess
import threading

import pytest
import yaml

from support import BUILD, MODULES

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "meerkat"
TOOLS = ROOT / "var" / "tools"
HELM = TOOLS / "helm"
# The oldest Kubernetes that the chart says it works with, and a new one.
VERSIONS = ("1.25", "1.34")

if not HELM.exists():
    done = subprocess.run([ROOT / "tools" / "helm.sh", TOOLS], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"helm is not here and cannot be fetched: {done.stderr[-300:]}", allow_module_level=True)

# As in the article, with Meerkat's names.
ARTICLE = {"replicaCount": 3, "volatileDatabase": "cets", "persistentDatabase": "rdbms",
           "rdbms": {"host": "db-postgresql", "tls": {"required": "false"}}, "resources": {"requests": {"cpu": "200m"}}}


def merge(*values):
    out = {}
    for value in values:
        for key, v in value.items():
            out[key] = merge(out[key], v) if isinstance(v, dict) and isinstance(out.get(key), dict) else v
    return out


def helm(*args, stdin=None):
    return subprocess.run([HELM, *args], input=stdin, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "HELM_CACHE_HOME": "/nonexistent", "HELM_CONFIG_HOME": "/nonexistent",
                               "HELM_DATA_HOME": "/nonexistent"})


def text(*values, release="meerkat", namespace="default", more=()):
    run = helm("template", release, CHART, "--namespace", namespace, "--values", "-", *more, stdin=json.dumps(merge(*values)))
    assert run.returncode == 0, run.stderr
    return run.stdout


def render(*values, **more):
    """Documents by (kind, name)."""
    documents = [d for d in yaml.safe_load_all(text(*values, **more)) if d]
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def refused(*values):
    run = helm("template", "meerkat", CHART, "--values", "-", stdin=json.dumps(merge(*values)))
    assert run.returncode != 0, run.stdout
    return run.stderr


def sts(documents, name="meerkat"):
    return documents["StatefulSet", name]


def pod(documents, name="meerkat"):
    return sts(documents, name)["spec"]["template"]["spec"]


def ini(documents, name="meerkat"):
    return documents["ConfigMap", name]["data"]["meerkat.ini"]


# -- rendering

MATRIX = {
    "nothing": {},
    "article": ARTICLE,
    "one local node": {"volatileDatabase": "local"},
    "all on": {
        "autoscaling": {"enabled": True, "targetSessionsPerPod": 5000, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
        "networkPolicy": {"enabled": True, "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, "serviceMonitor": {"enabled": True},
        "dashboard": {"enabled": True}, "nodeport": {"enabled": True, "c2s": 30222}, "certManager": {
            "enabled": True, "issuerRef": {"name": "letsencrypt"}}, "loadBalancerIP": "192.0.2.7",
        "loadBalancerAnnotations": {"a/b": "c"}, "service": {"externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["192.0.2.0/24"]},
        "imagePullSecrets": [{"name": "pull"}], "tolerations": [{"key": "x", "operator": "Exists"}], "nodeSelector": {"disk": "ssd"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}}},
        "settings": {"c2s.max_stanza": "128K", "meerkat.workers": 1}, "extraConfig": "[ping]\ninterval = 30s\n", "rolloutId": "7",
        "extraEnv": [{"name": "TZ", "value": "UTC"}], "extraVolumes": [{"name": "x", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}], "podAnnotations": {"x": "y"}, "podLabels": {"team": "chat"},
        "priorityClassName": "high", "hosts": ["example.org", "example.net"], "rdbms": {"tls": {"caSecret": "ca"}},
        "log": {"levels": ["cets=debug"]}, "serviceAccount": {"annotations": {"a": "b"}}},
    "secrets of one's own": {"rdbms": {"existingSecret": "db", "passwordKey": "postgres-password"}, "nodeCookieSecret": "cookie",
                             "tlsCertSecret": "tls"},
    "nothing that can be left out": {"podDisruptionBudget": {"enabled": False}, "serviceAccount": {"create": False},
                                     "podSecurityContext": None, "securityContext": None, "service": {"type": "ClusterIP", "ports": {
                                         "c2s": 0, "s2s": 0, "graphqlUser": 0}}},
    "long names": {"fullnameOverride": "a" * 70},
}
BASED_ON_ARTICLE = ("all on", "secrets of one's own", "long names")


def values_of(name):
    return merge(ARTICLE if name in BASED_ON_ARTICLE else {}, MATRIX[name])


def test_lint_finds_nothing():
    for name in MATRIX:
        run = helm("lint", "--strict", CHART, "--values", "-", stdin=json.dumps(values_of(name)))
        assert run.returncode == 0 and "WARNING" not in run.stdout, run.stdout + run.stderr


# Kinds of others, whose schemas Kubernetes has not.
FOREIGN = {"Certificate", "ServiceMonitor"}


# In a process of its own: its libraries are newer than those that pytest has loaded.
VALIDATE = """
import json, sys, kubernetes_validate
for document in json.load(sys.stdin):
    kubernetes_validate.validate(document, sys.argv[1], strict=True)
"""


def validate(documents, version):
    run = subprocess.run(["/usr/bin/python3", "-c", VALIDATE, version], input=json.dumps(documents), capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(TOOLS / "python")})
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_what_is_rendered(version):
    for name in MATRIX:
        documents = render(values_of(name))
        assert len(documents) > 5
        validate([d for (kind, _), d in documents.items() if kind not in FOREIGN], version)
        assert all(len(n) <= 63 for _, n in documents)


def test_what_kubernetes_does_not_take_is_found():
    broken = sts(render(ARTICLE))
    broken["spec"]["podManagmentPolicy"] = "Parallel"
    with pytest.raises(AssertionError, match="podManagmentPolicy"):
        validate([broken], VERSIONS[0])


@pytest.mark.parametrize("name", MATRIX)
def test_the_server_takes_the_configuration(name, tmp_path):
    documents = render(values_of(name))
    config = next(d for (kind, _), d in documents.items() if kind == "ConfigMap" and "meerkat.ini" in d["data"])["data"]
    for file, content in config.items():
        (tmp_path / file).write_text(content.replace("/etc/meerkat/", f"{tmp_path}/"))
    secrets = tmp_path / "secrets"
    for key in ("database/username", "database/password", "database/postgres-password", "database-ca/ca.crt"):
        (secrets / key).parent.mkdir(parents=True, exist_ok=True)
        (secrets / key).write_text("secret\n")
    (secrets / "cookie").mkdir()
    (secrets / "cookie/cookie").write_text("0123456789abcdef")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                    "-keyout", tmp_path / "tls.key", "-out", tmp_path / "tls.crt"], check=True, capture_output=True)
    file = tmp_path / "meerkat.ini"
    file.write_text(file.read_text().replace("/run/secrets/meerkat", str(secrets)).replace("/etc/meerkat-tls", str(tmp_path)))
    container = next(pod(documents, n) for k, n in documents if k == "StatefulSet")["containers"][0]
    env = {e["name"]: e.get("value", "10.1.2.3") for e in container["env"]}
    run = subprocess.run([BUILD / "meerkatd", "--check", "--config", file, f"--set=meerkat.module_path={MODULES}"],
                         capture_output=True, text=True, env={**os.environ, **env})
    assert (run.returncode, run.stderr) == (0, "")


# -- every value does what it says

def leaves(values, path=()):
    for key, value in values.items():
        if isinstance(value, dict) and value and path + (key,) not in {("resources",)}:
            yield from leaves(value, path + (key,))
        else:
            yield path + (key,), value


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
# Another value where the kind of the default does not say one, and what must be set besides for the value to count.
OTHER = {
    "hosts": ["a.example"], "volatileDatabase": "local", "persistentDatabase": "rdbms", "image.pullPolicy": "Always",
    "rdbms.tls.required": "true", "nodeCookie": "0123456789abcdef", "service.type": "NodePort", "service.externalTrafficPolicy": "Local",
    "log.level": "debug", "log.levels": ["c2s=debug"], "resources": {"limits": {"memory": "1Gi"}}, "imagePullSecrets": [{"name": "x"}],
    "certManager.dnsNames": ["x.example"], "service.loadBalancerSourceRanges": ["10.0.0.0/8"], "networkPolicy.from": [{"podSelector": {}}],
    "tolerations": [{"operator": "Exists"}], "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    "extraEnv": [{"name": "A", "value": "b"}], "extraVolumes": [{"name": "v", "emptyDir": {}}], "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
    "settings": {"c2s.burst": "1M"}, "affinity": {"podAffinity": {}}, "autoscaling.behavior": {"scaleUp": {}}, "securityContext.capabilities.drop": ["X"],
    "rdbms.driver": None, "podSecurityContext.seccompProfile.type": "Unconfined", "updateStrategy.type": "OnDelete",
}
CONTEXT = {
    "rdbms": ARTICLE, "replicaCount": ARTICLE, "nodeport": {"nodeport": {"enabled": True}},
    "autoscaling": merge(ARTICLE, {"autoscaling": {"enabled": True}}),
    "certManager": {"certManager": {"enabled": True, "issuerRef": {"name": "i"}}}, "certs": {"tlsCertSecret": "x"},
    "networkPolicy": {"networkPolicy": {"enabled": True}}, "serviceMonitor": {"serviceMonitor": {"enabled": True}},
    "dashboard": {"dashboard": {"enabled": True}}, "rdbms.tls.caKey": merge(ARTICLE, {"rdbms": {"tls": {"caSecret": "x"}}}),
}
# What a switch does not work without.
COMPANY = {"autoscaling.enabled": ARTICLE, "persistentDatabase": {"rdbms": {"host": "db"}},
           "certManager.enabled": {"certManager": {"issuerRef": {"name": "i"}}}}


def other(path, value):
    name = ".".join(path)
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        return {"a": "b"}
    return (value or "") + "x"


def context(name):
    found = {}
    for prefix, values in CONTEXT.items():
        if name.startswith(prefix) and not (name == f"{prefix}.enabled"):
            found = merge(found, values)
    return found


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


def without_chance(rendered):
    return re.sub(r"cookie: .*", "cookie", rendered)


def test_there_is_no_value_that_nothing_reads():
    def changes(leaf):
        path, value = leaf
        name = ".".join(path)
        if name in OTHER and OTHER[name] is None:
            return None
        base = context(name)
        more = nested(path, other(path, value))
        base = merge(base, COMPANY.get(name, {}))
        before, after = (without_chance(text(*v)) for v in ((base,), (base, more)))
        return name if before == after else None
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        dead = [name for name in pool.map(changes, leaves(DEFAULTS)) if name]
    assert dead == []


def test_the_schema_knows_every_value_and_no_other():
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) == set(DEFAULTS) | {"global"}
    assert "Additional property replicaCout is not allowed" in refused({"replicaCout": 3})
    assert "rdbms.driver" in refused({"rdbms": {"driver": "mysql"}})
    assert "hosts" in refused({"hosts": ["a\n[module:evil]"]})
    assert "rdbms.host" in refused({"rdbms": {"host": "a\nb = c"}})


def test_every_value_is_in_the_schema_and_explained_to_administrators():
    schema = json.loads((CHART / "values.schema.json").read_text())
    page = (ROOT / "docs" / "admin" / "kubernetes.md").read_text()
    for path, _ in leaves(DEFAULTS):
        at = schema
        for key in path:
            at = at.get("properties", {}).get(key, at.get("additionalProperties", True))
            if at is True:      # anything that Kubernetes takes there
                break
            assert at, path
        assert f"`{path[0]}`" in page or f"`{path[0]}.*`" in page, path


# -- what issue of what

def test_the_names_are_those_of_the_walk_through():
    documents = render(ARTICLE)
    assert {("StatefulSet", "meerkat"), ("Service", "meerkat"), ("Service", "meerkat-lb")} <= set(documents)
    assert sts(documents)["spec"]["replicas"] == 3 and sts(documents)["spec"]["podManagementPolicy"] == "Parallel"
    assert pod(documents)["containers"][0]["name"] == "meerkat"
    ports = {p["port"] for p in documents["Service", "meerkat-lb"]["spec"]["ports"]}
    assert documents["Service", "meerkat-lb"]["spec"]["type"] == "LoadBalancer" and ports == {5222, 5223, 5269, 5280, 5561}
    headless = documents["Service", "meerkat"]["spec"]
    assert headless["clusterIP"] == "None" and headless["publishNotReadyAddresses"] is True
    assert "host = db-postgresql" in ini(documents) and "sslmode = prefer" in ini(documents)


def test_nothing_is_persistent_and_nobody_has_rights():
    for name in MATRIX:
        rendered = text(values_of(name))
        assert "PersistentVolumeClaim" not in rendered and "volumeClaimTemplates" not in rendered
        assert not re.search(r"kind: (Cluster)?Role", rendered)
    spec = pod(render(ARTICLE))
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    assert spec["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                        "capabilities": {"drop": ["ALL"]}}
    assert spec["securityContext"]["runAsNonRoot"] is True


def test_credentials_are_in_secrets_alone():
    documents = render(ARTICLE, {"rdbms": {"password": "tops3cret", "username": "us3r"}, "nodeCookie": "c00kie-c00kie-c00kie"})
    for (kind, name), document in documents.items():
        shown = json.dumps(document)
        for secret in ("tops3cret", "us3r", "c00kie-c00kie"):
            assert secret not in shown, (kind, name)
    data = documents["Secret", "meerkat-database"]["data"]
    assert base64.b64decode(data["password"]) == b"tops3cret"
    own = render(ARTICLE, {"rdbms": {"existingSecret": "db"}, "nodeCookieSecret": "cookie"})
    assert not any(kind == "Secret" for kind, _ in own)
    names = {v["secret"]["secretName"] for v in pod(own)["volumes"] if "secret" in v}
    assert names == {"db", "cookie"}


def test_ready_means_joined_and_in_sync():
    container = pod(render(ARTICLE))["containers"][0]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/healthz"


def test_a_pod_is_given_the_time_that_it_needs_to_hand_over():
    documents = render(ARTICLE, {"drain": {"wait": 5, "timeout": 40}})
    spec = pod(documents)
    assert spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert spec["terminationGracePeriodSeconds"] == 60
    assert "drain_timeout = 40s" in ini(documents) and "stop_timeout = 50s" in ini(documents)


def test_the_pods_own_address_is_advertised():
    documents = render(ARTICLE)
    assert {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}} in pod(documents)["containers"][0]["env"]
    assert "advertise = ${POD_IP}" in ini(documents)


def test_a_changed_value_rolls_the_pods_and_a_new_chart_alone_does_not():
    def template(*values):
        return sts(render(*values))["spec"]["template"]
    before = template(ARTICLE)
    assert template(ARTICLE) == before
    for change in ({"hosts": ["other.example"]}, {"rdbms": {"password": "new"}}, {"nodeCookie": "0123456789abcdef"}, {"rolloutId": "2"},
                   {"extraConfig": "[ping]"}, {"image": {"tag": "2"}}):
        assert template(ARTICLE, change) != before, change
    for change in ({"replicaCount": 6}, {"loadBalancerAnnotations": {"a": "b"}}, {"podDisruptionBudget": {"enabled": False}}):
        assert template(ARTICLE, change) == before, change


def test_an_autoscaler_owns_the_number_of_replicas():
    documents = render(ARTICLE, {"autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 8, "targetSessionsPerPod": 900}})
    assert "replicas" not in sts(documents)["spec"]
    hpa = documents["HorizontalPodAutoscaler", "meerkat"]["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 8)
    assert hpa["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "meerkat"}
    assert [m["type"] for m in hpa["metrics"]] == ["Resource", "Pods"]


@pytest.mark.parametrize("values, why", [
    ({"replicaCount": 2}, "persistentDatabase=sqlite is for one replica"),
    ({"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": 1}}}, "persistentDatabase=sqlite is for one replica"),
    (merge(ARTICLE, {"volatileDatabase": "local"}), "volatileDatabase=local is for one replica"),
    ({"persistentDatabase": "rdbms"}, "persistentDatabase=rdbms needs rdbms.host"),
    ({"nodeCookie": "short"}, "nodeCookie must have 16 characters"),
    ({"certManager": {"enabled": True}}, "certManager.enabled needs certManager.issuerRef.name"),
    (merge(ARTICLE, {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}), "set that as well"),
    (merge(ARTICLE, {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}}), "minReplicas is larger")])
def test_what_cannot_work_is_refused_with_a_reason(values, why):
    assert why in refused(values)


def test_releases_in_one_namespace_share_nothing():
    first, second = (render(MATRIX["all on"], ARTICLE, release=name) for name in ("one", "two"))
    assert not set(first) & set(second)
    assert ("StatefulSet", "one-meerkat") in first
    selector = sts(first, "one-meerkat")["spec"]["selector"]["matchLabels"]
    labels = sts(second, "two-meerkat")["spec"]["template"]["metadata"]["labels"]
    assert any(labels.get(k) != v for k, v in selector.items())
    clusters = {re.search("cluster = (.*)", ini(d, f"{n}-meerkat")).group(1) for d, n in ((first, "one"), (second, "two"))}
    assert clusters == {"default/one-meerkat", "default/two-meerkat"}


def test_the_test_pod_is_no_member_of_the_services():
    documents = render(ARTICLE)
    labels = documents["Pod", "meerkat-test"]["metadata"]["labels"]
    selector = documents["Service", "meerkat-lb"]["spec"]["selector"]
    assert any(labels.get(k) != v for k, v in selector.items())


def test_the_dashboard_is_that_of_deploy_grafana_set_to_this_release():
    documents = render(ARTICLE, {"dashboard": {"enabled": True}, "serviceMonitor": {"enabled": True}})
    assert documents["ServiceMonitor", "meerkat"]["spec"]["endpoints"][0]["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}]
    board = json.loads(documents["ConfigMap", "meerkat-dashboard"]["data"]["meerkat.json"])
    plain = json.loads((ROOT / "deploy" / "grafana" / "meerkat.json").read_text())
    assert board["panels"] == plain["panels"] and len(board["panels"]) > 12
    assert board["title"] == "Meerkat default/meerkat"
    chosen = {v["name"]: v["current"]["value"] for v in board["templating"]["list"] if "current" in v}
    assert chosen == {"namespace": "default", "job": "meerkat", "instance": "$__all"}


# -- what Kubernetes has already, an upgrade keeps

RESOURCES = {
    "/api/v1": [("secrets", "Secret"), ("services", "Service"), ("configmaps", "ConfigMap"), ("serviceaccounts", "ServiceAccount"),
                ("pods", "Pod")],
    "/apis/apps/v1": [("statefulsets", "StatefulSet")], "/apis/policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget")]}


class Api(http.server.BaseHTTPRequestHandler):
    """As much of Kubernetes' API as `lookup` asks."""
    objects = {}

    def do_GET(self):
        path = self.path.split("?")[0]
        answer = self.objects.get(path) or {
            "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": g, "versions": [{"groupVersion": f"{g}/v1", "version": "v1"}],
                 "preferredVersion": {"groupVersion": f"{g}/v1", "version": "v1"}} for g in ("apps", "policy")]},
        }.get(path)
        if path.endswith("/secrets"):       # where helm keeps its releases
            answer = {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []}
        if path in RESOURCES:
            answer = {"kind": "APIResourceList", "groupVersion": path.split("/", 2)[2], "resources": [
                {"name": n, "kind": k, "namespaced": True, "verbs": ["get", "list"], "singularName": ""} for n, k in RESOURCES[path]]}
        body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def cluster(tmp_path):
    """cluster(documents): arguments for render that let the chart find these in the cluster."""
    servers = []

    def make(*documents):
        kinds = {"Secret": "/api/v1/namespaces/default/secrets", "StatefulSet": "/apis/apps/v1/namespaces/default/statefulsets"}
        handler = type("Handler", (Api,), {"objects": {f"{kinds[d['kind']]}/{d['metadata']['name']}": d for d in documents}})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        config = tmp_path / f"config{len(servers)}"
        config.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [
                {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}], "users": [{"name": "c", "user": {}}]}))
        return ("--dry-run=server", "--kubeconfig", str(config), "--disable-openapi-validation")

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_upgrade_without_a_change_changes_nothing_not_even_what_was_made_at_random(cluster):
    first = render(ARTICLE, more=cluster())
    again = render(ARTICLE, more=cluster(first["Secret", "meerkat-cookie"], sts(first)))
    assert again == first
    assert render(ARTICLE, more=cluster())["Secret", "meerkat-cookie"] != first["Secret", "meerkat-cookie"]


def test_an_upgrade_keeps_what_somebody_has_scaled_to(cluster):
    there = sts(render(ARTICLE))
    there["spec"]["replicas"] = 6
    assert sts(render(ARTICLE, more=cluster(there)))["spec"]["replicas"] == 6
    assert sts(render(ARTICLE, {"replicaCount": 4}, more=cluster(there)))["spec"]["replicas"] == 4
    there["spec"]["replicas"] = 0
    assert sts(render(ARTICLE, more=cluster(there)))["spec"]["replicas"] == 0


def test_the_notes_tell_what_to_do_next(cluster):
    run = helm("install", "meerkat", CHART, "--values", "-", *cluster(), stdin=json.dumps(ARTICLE))
    assert run.returncode == 0, run.stderr
    notes = run.stdout.split("NOTES:")[1]
    assert "kubectl --namespace default exec -it meerkat-0" in notes and "everybody knows" in notes
