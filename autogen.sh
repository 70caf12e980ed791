#!/bin/sh
# Makes ./configure. Every folder below modules/ is one module: this writes modules/modules.am, so
# that adding or deleting a folder is all it takes to add or delete a module.
set -eu
cd "$(dirname "$0")"

# module DIR PRIMARY LDFLAGS: the lines for the folder DIR.
module() {
    dir=$1
    name=$(basename "$dir")
    [ -f "$dir/$name.c" ] || return 0
    sources=$(find "$dir" -maxdepth 1 -name '*.[ch]' | LC_ALL=C sort | tr '\n' ' ')
    # What the assembler puts into a module as it is.
    sql=$(find "$dir" -maxdepth 1 \( -name '*.sql' -o -name '*.html' \) | LC_ALL=C sort | tr '\n' ' ')
    libs=
    # One line that names the libraries, for example: $(SSL_LIBS)
    [ -f "$dir/LIBS" ] && libs=$(cat "$dir/LIBS")
    echo
    echo "$2 += $name.la"
    echo "${name}_la_SOURCES = $sources"
    echo "${name}_la_CPPFLAGS = \$(MODULE_CPPFLAGS) -DMK_MODULE_NAME='\"$name\"' -I\$(srcdir)/$dir"
    echo "${name}_la_CFLAGS = \$(AM_CFLAGS) \$(AS_INCLUDE)\$(srcdir)/$dir"
    echo "${name}_la_LDFLAGS = $3"
    echo "${name}_la_LIBADD = $libs"
    echo "EXTRA_DIST += $sql $(find "$dir" -maxdepth 1 \( -name LIBS -o -name '*.md' \) | LC_ALL=C sort | tr '\n' ' ')"
    [ -n "$sql" ] || return 0
    for c in "$dir"/*.c; do
        object=$dir/${name}_la-$(basename "$c" .c).lo
        # Through a variable: automake takes a literal target for a rule that replaces its own.
        grep -q 'MK_SQL_FILE\|incbin' "$c" || continue
        var=sql_$(echo "$object" | tr -c 'a-z0-9\n' '_')
        printf '%s = %s\n$(%s): %s\n' "$var" "$object" "$var" "$sql"
    done
}

generate() {
    echo "# Made by autogen.sh from the folders below modules/ and tests/modules/. Do not edit."
    for folder in modules/*/; do
        module "${folder%/}" pkglib_LTLIBRARIES '$(MODULE_LDFLAGS)'
    done
    # For tests: built beside the others, never installed. Without -rpath libtool makes no shared object.
    for folder in tests/modules/*/; do
        module "${folder%/}" noinst_LTLIBRARIES '$(MODULE_LDFLAGS) -rpath $(pkglibdir)'
    done
}

new=$(mktemp)
generate >"$new"
if cmp -s "$new" modules/modules.am; then rm "$new"; else mv "$new" modules/modules.am; chmod 644 modules/modules.am; fi
autoreconf --install --force --warnings=all,no-obsolete,no-portability
