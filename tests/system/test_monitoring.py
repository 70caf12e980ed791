# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""deploy/grafana and deploy/prometheus ask for metrics that there are, by labels that they have."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from cluster import Cluster
from support import wait_for
from web import ask

prometheus = pytest.importorskip("prometheus_client")
from prometheus_client.parser import text_string_to_metric_families as parse    # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
BOARD, ALERTS = ROOT / "deploy" / "grafana" / "meerkat.json", ROOT / "deploy" / "prometheus" / "alerts.yml"
MORE = """
[http]
listen = 127.0.0.1:0
[health]
[metrics]
[tls]
self_signed = yes
[graphql]
user_listen = 127.0.0.1:0
[admin]
[register]
[csi]
"""
# What Prometheus adds to every sample, what it makes of histograms, and what is told by others.
ADDED = {"namespace", "job", "instance", "le"}
OTHERS = {"node_filesystem_avail_bytes", "node_filesystem_size_bytes"}
UNREACHABLE = """
rule_files: [{rules}]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {{series: 'meerkat_cluster_nodes_joined{{job="meerkat", instance="a"}}', values: '2x4 1x10'}}
      - {{series: 'meerkat_cluster_nodes_joined{{job="meerkat", instance="b"}}', values: '2x20'}}
      - {{series: 'meerkat_cluster_nodes_joined{{job="meerkat", instance="c"}}', values: '2x20'}}
    alert_rule_test:
      - {{eval_time: 2m, alertname: MeerkatNodeUnreachable, exp_alerts: []}}
      - eval_time: 7m
        alertname: MeerkatNodeUnreachable
        exp_alerts: [{{exp_labels: {{severity: critical, job: meerkat, instance: a}}, exp_annotations: {{
            summary: "a is in sync with 1 nodes only", description: "The links between the nodes: network, names, certificates. Log: cets."}}}}]
"""


def targets():
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']}: {target['legendFormat']}", target["expr"], target["legendFormat"]


def rules():
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The names of a node's samples, each with the names of its labels."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), kind="sqlite", more=MORE)
    try:
        node = cluster.add()
        port = node.port("http")
        wait_for(lambda: ask(port, "/readyz").status == 200)
        found = {}
        for family in parse(ask(port, "/metrics").body.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        yield found
    finally:
        cluster.down()


def unknown(samples, expr, legend=""):
    """What an expression asks for that a node does not have."""
    names = set(re.findall(r"\b(meerkat_\w+)", expr))
    labels = {label for name in names for label in samples.get(name, ())} | ADDED
    asked = {label.strip() for inside in re.findall(r"\b(?:by|on|without) \(([^)]*)\)", expr) for label in inside.split(",") if label.strip()}
    asked |= {label for inside in re.findall(r"meerkat_\w+\{([^}]*)\}", expr) for label in re.findall(r"(\w+)=", inside)}
    return names - set(samples) | asked - labels | set(re.findall(r"\{\{(\w+)\}\}", legend)) - labels


def test_the_dashboard_shows_metrics_that_a_node_has(samples):
    bad = {what: found for what, expr, legend in targets() if (found := unknown(samples, expr, legend))}
    assert not bad
    used = {name for _, expr, _ in targets() for name in re.findall(r"meerkat_\w+", expr)}
    assert len(used) > 40 and "meerkat_sessions" in used


def test_a_metric_or_label_that_is_gone_would_be_seen(samples):
    assert unknown(samples, "rate(meerkat_sessions_of_yore[5m])") == {"meerkat_sessions_of_yore"}
    assert unknown(samples, 'sum by (flavour) (meerkat_sessions{colour="red"})', "{{taste}}") == {"flavour", "colour", "taste"}


def test_alerts_ask_for_metrics_that_a_node_has(samples):
    for rule in rules():
        assert not unknown(samples, rule["expr"]), rule["alert"]
        others = set(re.findall(r"\b([a-z]+_[a-z_]+)(?=[ {\[]|$)", rule["expr"])) - set(samples) - OTHERS
        assert others <= {"histogram_quantile", "group_left"}


def test_the_rules_are_as_prometheus_wants_them_and_each_is_explained(tmp_path):
    page = (ROOT / "docs" / "admin" / "monitoring.md").read_text()
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"} and rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s")) and rule["expr"].count("(") == rule["expr"].count(")")
        assert f"`{rule['alert']}`" in page
    if shutil.which("promtool"):
        boards = [{"record": f"panel:{i}", "expr": expr.replace("$__rate_interval", "1m")} for i, (_, expr, _) in enumerate(targets())]
        (tmp_path / "board.yml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": boards}]}))
        subprocess.run(["promtool", "check", "rules", ALERTS, tmp_path / "board.yml"], check=True)
        (tmp_path / "test.yml").write_text(UNREACHABLE.format(rules=ALERTS))
        subprocess.run(["promtool", "test", "rules", tmp_path / "test.yml"], check=True)
