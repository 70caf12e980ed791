#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
# Builds the Debian packages of this tree, as it is in the work tree, into FOLDER. Nothing is written elsewhere.
#
#   tools/deb.sh FOLDER [VERSION]      VERSION: another one than debian/changelog's, to try an upgrade
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/meerkat"
cd "$root"
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done' sh |
    tar -c --null -T - | tar -x -C "$work/meerkat"
cd "$work/meerkat"
if [ $# -gt 1 ]; then
    sed -i "1s/(.*)/($2)/" debian/changelog
fi
DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS-}" dpkg-buildpackage -b -us -uc -rfakeroot >"$out/build.log" 2>&1 ||
    # When configure fails, what it says stands far above the end: debhelper shows all of config.log.
    { grep -nE 'error:|\*\*\*|Unmet|No space' "$out/build.log" | head -20 >&2; tail -30 "$out/build.log" >&2; exit 1; }
mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out"
ls "$out"/*.deb
