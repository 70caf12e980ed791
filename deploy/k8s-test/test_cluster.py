# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What the test cluster itself can do, tried with pods of busybox: `./dev k8s try`."""
import urllib.request

import pytest

from shell import balancer_address, dev_k8s, field, quiet, sh, use_namespace, wait_for

# A page that names the pod which serves it, and one that costs some CPU.
WEB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  start: |
    mkdir -p /tmp/www/cgi-bin
    hostname >/tmp/www/name
    cp /script/work /tmp/www/cgi-bin/work
    chmod +x /tmp/www/cgi-bin/work
    echo serving
    trap 'exit 3' TERM
    httpd -f -p 8080 -h /tmp/www &
    wait
  work: |
    #!/bin/sh
    i=0
    while [ $i -lt 30000 ]; do i=$((i + 1)); done
    printf 'Content-Type: text/plain\\r\\n\\r\\ndone\\n'
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: meerkat.test/tools:1
        command: [sh, /script/start]
        resources: {requests: {cpu: 50m}}
        readinessProbe: {httpGet: {path: /name, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: script, mountPath: /script}]
      volumes: [{name: script, configMap: {name: web}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web-lb}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web-pods}
spec:
  clusterIP: None
  selector: {app: web}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: client
    image: meerkat.test/tools:1
    command: [sleep, "36000"]
"""


@pytest.fixture(scope="module", autouse=True)
def web(tmp_path_factory):
    dev_k8s("up")
    use_namespace(tmp_path_factory.mktemp("try"), "try")
    sh("kubectl apply -f -", WEB)
    sh("kubectl rollout status deployment/web --timeout=180s && kubectl wait --for=condition=Ready pod/client --timeout=180s")
    yield
    sh("kubectl delete namespace try")


def pods():
    return set((quiet("kubectl get pods -l app=web -o name") or "").replace("pod/", "").split())


def asked_by_name():
    return quiet("kubectl exec client -- timeout 5 wget -qO- http://web/name") or ""


def test_a_service_is_found_by_its_name_and_reaches_all_its_pods():
    sh("kubectl exec client -- wget -qO- http://web.try.svc.cluster.local/name")
    seen = set()
    wait_for(lambda: seen.add(asked_by_name().strip()) or seen >= pods(), "an answer of every pod", pause=0)


def test_a_headless_service_names_the_addresses_of_its_pods():
    found = sh("kubectl exec client -- nslookup web-pods.try.svc.cluster.local 2>&1")
    addresses = field(".items[*].status.podIP", "pods -l app=web").split()
    assert len(addresses) == 3 and all(a in found for a in addresses)


def test_a_balanced_service_has_an_address_that_this_machine_reaches():
    address = balancer_address("web-lb")
    with urllib.request.urlopen(f"http://{address}/name", timeout=30) as answer:
        assert answer.read().decode().strip() in pods()


def test_the_log_and_a_command_in_a_pod_are_at_hand():
    pod = sorted(pods())[0]
    assert "serving" in sh(f"kubectl logs {pod}")
    assert sh(f"kubectl exec {pod} -- hostname").strip() == pod
    assert sh(f"kubectl exec -i {pod} -- cat", "what is said comes back") == "what is said comes back"


def test_a_port_is_forwarded():
    out = sh("kubectl port-forward service/web 18080:80 >/dev/null & trap 'kill $!' EXIT; "
             "for i in $(seq 100); do curl -sf http://127.0.0.1:18080/name && break; sleep 0.1; done")
    assert out.strip() in pods()


def test_scaling_changes_how_many_pods_serve():
    for count in 6, 3:
        sh(f"kubectl scale --replicas={count} deployment/web && kubectl rollout status deployment/web --timeout=180s")
        wait_for(lambda: len(pods()) == count, f"{count} pods")


def test_a_dead_container_is_started_again():
    pod = sorted(pods())[0]
    quiet(f"kubectl exec {pod} -- kill 1")  # may be killed itself before it can say how it ended
    wait_for(lambda: field(".status.containerStatuses[0].restartCount", f"pod/{pod}") == "1", "a second life")
    sh(f"kubectl wait --for=condition=Ready pod/{pod} --timeout=180s")


def test_pods_are_measured_and_the_autoscaler_follows_the_load():
    wait_for(lambda: (quiet("kubectl top pods") or "").count("web-") == 3, "a measurement of every pod")
    sh("kubectl top pods")
    sh("kubectl autoscale deployment web --cpu=60% --min=1 --max=4")
    sh("kubectl exec client -- sh -c 'touch /tmp/load; for n in 1 2 3; do "
       "(while [ -e /tmp/load ]; do timeout 20 wget -qO- http://web/cgi-bin/work >/dev/null; done) >/dev/null 2>&1 & done'")
    wait_for(lambda: field(".spec.replicas", "deployment/web") == "4", "four pods under load", 300)
    sh("kubectl get hpa web")
    sh("kubectl exec client -- rm /tmp/load")
    wait_for(lambda: field(".spec.replicas", "deployment/web") == "1", "one pod in peace", 300)
    sh("kubectl get hpa web")
