#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
# Builds the container image as an OCI archive FOLDER/meerkat.tar, and prints its size beyond Debian's.
#
#   tools/image.sh FOLDER [BUILD]
#
# With a registry at hand podman builds deploy/container/Containerfile as anybody else would. Without one, the base is made here by
# mmdebstrap (FOLDER/base.tar, kept for a week), and the files of the first stage come from BUILD (build/), compiled on this machine.
# Images are kept in a storage below FOLDER, never in the machine's own.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(cd "$1" && pwd)
build=${2-build}
base=debian:12
tag=localhost/meerkat:$(sed -n 's/^AC_INIT(\[meerkat\], \[\(.*\)\])$/\1/p' configure.ac)
context=$(mktemp -d)
# A path of at most 50 characters, which podman remembers with the storage.
run=${MEERKAT_IMAGE_RUN-$context/run}
store=(--root "$out/storage" --runroot "$run" --storage-driver overlay)
[ "$(id -u)" = 0 ] || store=()
log=$out/image.log

# Another run has another $run.
[ -n "${MEERKAT_IMAGE_RUN-}" ] || rm -rf "$out/storage"

say() { printf '== %s\n' "$*" >&2; }
fail() { tail -20 "$log" >&2; exit 1; }

options=(--isolation chroot --network host)
# The storage's own mount would keep the folder from being removed.
trap 'rm -rf "$context"; while umount "$out/storage/overlay" 2>/dev/null; do :; done' EXIT
if [ -z "${MEERKAT_NO_REGISTRY-}" ] && timeout 20 buildah "${store[@]}" pull -q "docker.io/library/$base" >"$log" 2>&1; then
    say "base: $base of the registry"
else
    if [ -z "$(find "$out/base.tar" -mtime -7 2>/dev/null)" ]; then
        say "base: no registry answers, making Debian with mmdebstrap"
        mmdebstrap --quiet --variant=apt --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
            --dpkgopt='path-exclude=/usr/share/doc/*' bookworm "$out/base.part.tar" >"$log" 2>&1 || fail
        mv "$out/base.part.tar" "$out/base.tar"
    fi
    buildah "${store[@]}" inspect --type image "localhost/$base" >/dev/null 2>&1 ||
        podman "${store[@]}" import -q "$out/base.tar" "localhost/$base" >"$log" 2>&1 || fail
    options+=(--pull-never --build-context "build=$context")
    deploy/container/install.sh "$build" "$context/out" >"$log" 2>&1 || fail
fi
buildah "${store[@]}" bud "${options[@]}" -f deploy/container/Containerfile -t "$tag" . >"$log" 2>&1 || fail
bytes() { podman "${store[@]}" image inspect --format '{{.Size}}' "$1"; }
beyond=$((($(bytes "$tag") - $(bytes "$base")) / 1000000))
echo "$beyond" >"$out/size"
echo "$tag: $beyond MB beyond $base"
# For tests, which run it from this storage.
[ -z "${MEERKAT_NO_ARCHIVE-}" ] || exit 0
rm -f "$out/meerkat.tar"
buildah "${store[@]}" push -q "$tag" "oci-archive:$out/meerkat.tar:$tag" >"$log" 2>&1 || fail
echo "$out/meerkat.tar: $(($(stat -c %s "$out/meerkat.tar") / 1000000)) MB"
