#!/bin/sh
# Makes ./configure. Every folder below modules/ is one module: this writes modules/modules.am, so
# that adding or deleting a folder is all it takes to add or delete a module.
set -eu
cd "$(dirname "$0")"

generate() {
    echo "# Made by autogen.sh from the folders below modules/. Do not edit."
    for dir in modules/*/; do
        name=$(basename "$dir")
        [ -f "modules/$name/$name.c" ] || continue
        sources=$(find "modules/$name" -maxdepth 1 -name '*.[ch]' | LC_ALL=C sort | tr '\n' ' ')
        sql=$(find "modules/$name" -maxdepth 1 -name '*.sql' | LC_ALL=C sort | tr '\n' ' ')
        libs=
        # One line that names the libraries, for example: $(SSL_LIBS)
        [ -f "modules/$name/LIBS" ] && libs=$(cat "modules/$name/LIBS")
        echo
        echo "pkglib_LTLIBRARIES += $name.la"
        echo "${name}_la_SOURCES = $sources"
        echo "${name}_la_CPPFLAGS = \$(MODULE_CPPFLAGS) -DMK_MODULE_NAME='\"$name\"' -I\$(srcdir)/modules/$name"
        echo "${name}_la_CFLAGS = \$(AM_CFLAGS) -Wa,-I,\$(srcdir)/modules/$name"
        echo "${name}_la_LDFLAGS = \$(MODULE_LDFLAGS)"
        echo "${name}_la_LIBADD = $libs"
        echo "EXTRA_DIST += $sql $(find "modules/$name" -maxdepth 1 \( -name LIBS -o -name '*.md' \) | LC_ALL=C sort | tr '\n' ' ')"
        if [ -n "$sql" ]; then
            for c in modules/"$name"/*.c; do
                object=modules/$name/${name}_la-$(basename "$c" .c).lo
                # Through a variable: automake takes a literal target for a rule that replaces its own.
                grep -q MK_SQL_FILE "$c" || continue
                var=sql_$(echo "$object" | tr -c 'a-z0-9\n' '_')
                printf '%s = %s\n$(%s): %s\n' "$var" "$object" "$var" "$sql"
            done
        fi
    done
    return 0
}

new=$(mktemp)
generate >"$new"
if cmp -s "$new" modules/modules.am; then rm "$new"; else mv "$new" modules/modules.am; chmod 644 modules/modules.am; fi
autoreconf --install --force --warnings=all,no-obsolete,no-portability
