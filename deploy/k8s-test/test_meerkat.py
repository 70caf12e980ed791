# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""docs/kubernetes.md on a real cluster, in its order: `./dev k8s test`. Each test goes on where the one before it ended."""
import asyncio
import base64
import collections
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest

from common import HERE
from shell import balancer_address, dev_k8s, field, get, quiet, sh, show, use_namespace, wait_for

sys.path.insert(0, str(HERE.parents[1] / "tests/system"))
from rolling import Load  # noqa: E402

ROOT = HERE.parents[1]
CHART = os.environ.get("MEERKAT_CHART", str(ROOT / "deploy/helm/meerkat"))
IMAGE = os.environ.get("MEERKAT_IMAGE", str(ROOT / "var/image/meerkat.tar"))
NAMESPACE = "article"
PAIRS = int(os.environ.get("MEERKAT_PAIRS", "20"))
# As in the article, but for the name of the database: values that mean the same have the same names.
VALUES = (os.environ.get("MEERKAT_VALUES", "") + " "
          "--set replicaCount=3 --set volatileDatabase=cets --set persistentDatabase=rdbms --set rdbms.tls.required=false "
          "--set rdbms.host=db-postgresql --set resources.requests.cpu=200m")
SERVER = "pods -l app.kubernetes.io/instance=meerkat,app.kubernetes.io/component!=test"

TLS = ssl.create_default_context()  # the certificate is self-signed
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


@pytest.fixture(scope="module", autouse=True)
def namespace(tmp_path_factory):
    dev_k8s("up")
    if not quiet(f"kubectl get namespace {NAMESPACE}") is None:
        sh(f"kubectl delete namespace {NAMESPACE}")
    dev_k8s("load", IMAGE)
    use_namespace(tmp_path_factory.mktemp("article"), NAMESPACE)
    yield
    if "MEERKAT_KEEP" not in os.environ:
        sh(f"kubectl delete namespace {NAMESPACE} --timeout=120s")


def rolled_out():
    """Waits until all pods are new and Ready; what they say is shown when they do not come."""
    if quiet("kubectl rollout status sts/meerkat --timeout=180s") is None:
        for command in ("kubectl get pods", "kubectl get events --sort-by=.lastTimestamp | tail -20",
                        "kubectl logs --prefix --tail=20 -l app.kubernetes.io/instance=meerkat"):
            sh(command)
        pytest.fail("the pods did not become ready in 180 s")


def pods():
    """Names of the server's pods that are not on their way out, in order."""
    items = get(SERVER).get("items", [])
    return sorted(i["metadata"]["name"] for i in items if "deletionTimestamp" not in i["metadata"])


def address(pod):
    return field(".status.podIP", f"pod/{pod}")


def ctl(pod, words):
    return json.loads(sh(f"kubectl exec {pod} -- meerkatctl {words}"))["data"]


def joined(count):
    """Does every pod see `count` nodes in sync?"""
    def look(pod):
        said = quiet(f"kubectl exec {pod} -- meerkatctl cets systemInfo")
        return said and len(json.loads(said)["data"]["cets"]["systemInfo"]["joinedNodes"]) == count
    return len(pods()) == count and all(look(p) for p in pods())


def register(names):
    """Accounts for the load, many in one request."""
    names = list(names)
    for at in range(0, len(names), 50):
        fields = " ".join(f'{n}: registerUser(domain: "localhost", username: "{n}", password: "secret") {{ jid }}'
                          for n in names[at:at + 50])
        assert quiet("kubectl exec -i meerkat-0 -- meerkatctl graphql -", f"mutation {{ account {{ {fields} }} }}")


def talk(name, ports, story, pairs=PAIRS):
    """Pairs with new accounts talk while story() happens; then what became of their messages."""
    register(f"{name}{i}" for i in range(2 * pairs))
    load = Load(pairs, lambda: ports, tls=TLS, name=name)

    async def run():
        async with load:
            await asyncio.sleep(2)  # of the story: people talk for a while
            await asyncio.to_thread(story)
            await asyncio.sleep(1)
            await load.finish()
            return load.account()
    account = asyncio.run(run())
    show(json.dumps(account, indent=1))
    return account


def balancer():
    """Where the load dials: the balanced service, with TLS from the first byte."""
    return [(balancer_address("meerkat-lb"), 5223)]


def nothing_lost(account):
    for what in ("lost", "doubled", "out of order", "answered with an error"):
        assert account[what] == 0, account
    assert account["sent"] > 0, account


def api(user, document, server=None):
    """One request to the users' API, as curl would."""
    request = urllib.request.Request(f"http://{server or balancer_address('meerkat-lb')}:5561/api/graphql",
                                     json.dumps({"query": document}).encode(), {"Content-Type": "application/json"})
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}@localhost:secret".encode()).decode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_two_commands_install_a_database_and_three_nodes():
    sh(f"helm install db {HERE}/chart-postgresql --set auth.database=meerkat --set auth.username=meerkat --set auth.password=meerkat_secret")
    begun = time.monotonic()
    sh(f"helm install meerkat {CHART} {VALUES}")
    rolled_out()
    show(f"three nodes were ready {time.monotonic() - begun:.1f} s after helm install, the database's own start included")
    assert pods() == ["meerkat-0", "meerkat-1", "meerkat-2"]
    assert field(".status.readyReplicas", "sts/meerkat") == "3"
    sh("kubectl get sts,pod,svc")


def test_ready_means_joined():
    assert joined(3)


def test_no_volume_is_claimed():
    assert "No resources found" in sh("kubectl get pvc 2>&1")


def test_an_account_made_on_one_pod_logs_in_on_every_pod():
    made = ctl("meerkat-0", "account registerUser --domain localhost --username alice --password secret")
    assert made["account"]["registerUser"]["jid"] == "alice@localhost"
    ctl("meerkat-1", "account registerUser --domain localhost --username bob --password secret")
    for pod in pods():
        assert ctl(pod, "account checkPassword --user alice@localhost --password secret")
        said = api("alice", "{ checkAuth { authStatus username } }", address(pod))
        assert said["data"]["checkAuth"]["authStatus"] == "AUTHORIZED", said


def test_people_on_different_pods_chat():
    nothing_lost(talk("pods", [(address(p), 5223) for p in pods()], lambda: None))


def test_the_loop_of_curl_sends_through_the_balancer():
    at = balancer_address("meerkat-lb")
    mutation = 'mutation { stanza { sendMessage(to: \\"bob@localhost\\", body: \\"Hi\\") { id } } }'
    out = sh(f"for i in $(seq 20); do curl -s -u alice@localhost:secret -H 'Content-Type: application/json' "
             f"-d '{{\"query\": \"{mutation}\"}}' http://{at}:5561/api/graphql; echo; done")
    assert out.count('"id"') == 20 and "error" not in out


def test_helm_test_passes():
    sh("helm test meerkat")


def scale(count):
    sh(f"kubectl scale --replicas={count} sts/meerkat")
    rolled_out()
    wait_for(lambda: joined(count), f"{count} nodes in sync")
    sh("kubectl get pods")


def test_scaling_to_six_loses_nothing():
    nothing_lost(talk("out", balancer(), lambda: scale(6)))


def test_users_of_removed_pods_go_on_at_others():
    account = talk("back", balancer(), lambda: scale(3))
    nothing_lost(account)
    assert account["streams resumed"] > 0 and account["streams not resumed"] == 0


def test_an_upgrade_without_a_change_restarts_nothing():
    before = field(".items[*].metadata.uid", "pods -l app.kubernetes.io/instance=meerkat")
    sh(f"helm upgrade meerkat {CHART} {VALUES}")
    rolled_out()
    assert field(".items[*].metadata.uid", "pods -l app.kubernetes.io/instance=meerkat") == before


def test_an_upgrade_under_load_loses_no_message():
    before = set(field(".items[*].metadata.uid", "pods -l app.kubernetes.io/instance=meerkat").split())

    def story():
        sh(f"helm upgrade meerkat {CHART} {VALUES} --set log.level=debug --set-string rolloutId=2")
        rolled_out()
    account = talk("upgrade", balancer(), story)
    nothing_lost(account)
    assert account["streams resumed"] > 0 and account["streams not resumed"] == 0
    assert not before & set(field(".items[*].metadata.uid", "pods -l app.kubernetes.io/instance=meerkat").split())
    assert joined(3)


def test_a_deleted_pod_under_load_loses_no_message():
    def story():
        sh("kubectl delete pod meerkat-1")
        rolled_out()
        wait_for(lambda: joined(3), "three nodes in sync")
    nothing_lost(talk("deleted", balancer(), story))


def test_the_autoscaler_follows_the_load_and_nobody_notices():
    at = balancer_address("meerkat-lb")
    # A fifth of the 200m asked for: even where the machine has much else to do, the load is more than that.
    sh("kubectl autoscale sts meerkat --cpu=20% --min=1 --max=8")
    mutation = json.dumps({"query": 'mutation { stanza { sendMessage(to: "bob@localhost", body: "Hi") { id } } }'})
    # A new connection every 200 requests, so that new pods get their share.
    loop = (f"while [ -e $0/on ]; do curl -s -m 60 -o /dev/null -w '%{{http_code}} %{{errormsg}}\\n' -u alice@localhost:secret "
            f"-H 'Content-Type: application/json' -d '{mutation}' 'http://{at}:5561/api/graphql?[1-200]'; done >>$0/$1")
    answers = collections.Counter()

    def replicas():
        return int(field(".spec.replicas", "sts/meerkat") or 0)

    def story():
        with tempfile.TemporaryDirectory() as folder:
            mark = pathlib.Path(folder, "on")
            mark.touch()
            loops = [subprocess.Popen(["bash", "-c", loop, folder, str(i)]) for i in range(6)]
            try:
                wait_for(lambda: replicas() >= 4, "four pods or more under load", 300)
                rolled_out()
                sh("kubectl get hpa,pods; kubectl top pods")
            finally:
                mark.unlink()
                for process in loops:
                    process.wait(90)
            for i in range(len(loops)):
                answers.update(pathlib.Path(folder, str(i)).read_text().splitlines())
        wait_for(lambda: replicas() == 1, "one pod in peace", 400)
        # Those that go are Terminating for as long as their users move.
        wait_for(lambda: field(".items[*].metadata.name", SERVER).split() == pods() == ["meerkat-0"], "the others to be gone", 120)
        sh("kubectl get hpa,pods; kubectl describe hpa meerkat | sed -n '/Events/,$p'")
    account = talk("auto", balancer(), story, 5)
    show(f"answers to curl: {dict(answers)}")
    nothing_lost(account)
    assert account["streams resumed"] > 0 and account["streams not resumed"] == 0
    assert set(answers) == {"200 "}
    sh("kubectl delete hpa meerkat")


def test_the_defaults_make_one_node_for_trying_out_beside_the_others():
    sh(f"helm install alone {CHART} && kubectl rollout status sts/alone-meerkat --timeout=180s")
    ctl("alone-meerkat-0", "account registerUser --domain localhost --username carol --password secret")
    at = balancer_address("alone-meerkat-lb")

    def said():
        try:
            return api("carol", "{ checkAuth { authStatus } }", at)
        except urllib.error.URLError:  # Ready a moment ago: the balancer hears of it a moment later
            return None
    assert wait_for(said, "an answer through the balancer")["data"]["checkAuth"]["authStatus"] == "AUTHORIZED"
    sh("helm uninstall alone --wait")


def test_after_all_that_no_container_was_ever_restarted_and_none_is_left_after_uninstall():
    assert set(field(".items[*].status.containerStatuses[*].restartCount", "pods").split()) == {"0"}
    sh("helm uninstall meerkat")
    wait_for(lambda: not pods(), "the pods to go")
    assert "No resources found" in sh("kubectl get pvc 2>&1")
