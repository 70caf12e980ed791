#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
# What the image gets beyond Debian: install.sh BUILD OUT makes OUT/tree, the files of a node and no more, and OUT/packages,
# the Debian packages of the libraries that they are linked with.
set -eu
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$2/tree"
out=$(cd "$2" && pwd)

# One at a time: installing writes into the build folder as well.
flock "$build/config.status" make -s -C "$build" install DESTDIR="$out/all" >/dev/null
cd "$out/all/usr/local"
for file in sbin/meerkatd bin/meerkatctl lib/meerkat/*.so; do
    [ -e "$file" ] || continue
    install -D -s -m 755 "$file" "$out/tree/usr/local/$file"
done
rm -rf "$out/all"
install -D -m 644 "$source/etc/container.ini" "$out/tree/etc/meerkat/meerkat.ini"
install -d -m 755 "$out/tree/etc/meerkat/conf.d"
# Only the mount point: it belongs to whoever runs there.
install -d -m 1777 "$out/tree/var/lib/meerkat"

# The libraries of programs and modules, by the packages that have them.
find "$out/tree" -type f -perm -u+x -exec ldd {} + 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u |
    while read -r library; do
        dpkg-query -S "$(readlink -f "$library")" 2>/dev/null || dpkg-query -S "*$(readlink -f "$library" | sed 's|^/usr||')"
    done | sed 's/:.*//' | sort -u | grep -vxE 'libc6|libgcc-s1|libstdc\+\+6' >"$out/packages"
# Certificates of authorities, for the database's.
echo ca-certificates >>"$out/packages"
