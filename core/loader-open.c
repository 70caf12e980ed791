/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module files: finding them, mapping them, checking what they say of themselves. No code of theirs runs here. */
#include "config.h"

#include "loader-internal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log-internal.h"
#include "option-internal.h"
#include "server-internal.h"

/* [a-z][a-z0-9_]*: the rest of a path must not come in by a name. */
static bool
is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return *name >= 'a' && *name <= 'z' && !name[len] && len < 64;
}

void
mki_modules_each_file(const struct mk_option_list *path, void (*fn)(const char *name, void *arg),
                      void *arg)
{
    for (size_t i = 0; i < path->count; i++) {
        struct dirent **entries;
        int n = scandir(path->items[i], &entries, NULL, alphasort);

        for (int k = 0; k < n; k++) {
            size_t len = strlen(entries[k]->d_name);

            if (len > 3 && strcmp(entries[k]->d_name + len - 3, ".so") == 0) {
                entries[k]->d_name[len - 3] = '\0';
                fn(entries[k]->d_name, arg);
            }
            free(entries[k]);
        }
        if (n >= 0)
            free(entries);
    }
}

struct nearest {
    const char *wanted;
    char *found;
    unsigned distance;
};

static void
try_name(const char *name, void *arg)
{
    struct nearest *n = arg;
    unsigned d = mki_edit_distance(name, n->wanted);

    if (d >= n->distance)
        return;
    mk_free(n->found);
    n->found = mk_strdup(name);
    n->distance = d;
}

/* Why there is no such module, with what may have been meant. */
static void
tell_missing(const char *name, const struct mk_option_list *path, struct mk_error *err)
{
    struct nearest n = {.wanted = name, .distance = (unsigned)strlen(name) / 3 + 2};
    struct mk_buf folders = {0};

    try_name("meerkat", &n);
    try_name("log", &n);
    mki_modules_each_file(path, try_name, &n);
    for (size_t i = 0; i < path->count; i++)
        mk_buf_printf(&folders, "%s%s", i ? ", " : "", path->items[i]);
    if (n.found)
        mk_fail(err, "there is no module '%s'; did you mean '%s'?", name, n.found);
    else
        mk_fail(err, "there is no module '%s' in the module path (%s)", name, mk_buf_cstr(&folders));
    mk_buf_release(&folders);
    mk_free(n.found);
}

static char *
find_file(const char *name, const struct mk_option_list *path)
{
    for (size_t i = 0; i < path->count; i++) {
        char *file = mk_printf_new("%s/%s.so", path->items[i], name);

        if (access(file, R_OK) == 0)
            return file;
        mk_free(file);
    }
    return NULL;
}

#define PATH_BYTES 128

/*
 * A path to the descriptor that was never used before: the dynamic linker knows libraries by their
 * paths, and descriptor numbers come again. The number of this load is written with "/." and "/".
 */
static void
unique_path(char out[PATH_BYTES], int fd)
{
    static unsigned load;
    char *p = out + sprintf(out, "/proc/self");

    for (unsigned bits = ++load; bits; bits >>= 1)
        p += sprintf(p, bits & 1 ? "/." : "/");
    sprintf(p, "/fd/%d", fd);
}

/*
 * A private copy in memory is what gets mapped: overwriting the file must not pull the code away
 * from under us, and a reload must not be given the old mapping.
 */
static void *
open_copy(const char *file)
{
    char name[PATH_BYTES];
    struct stat st;
    void *dl = NULL;
    int from, to;
    off_t at = 0;

    if (getenv("MEERKAT_MODULES_IN_PLACE"))     /* for debuggers and sanitizers */
        return dlopen(file, RTLD_NOW | RTLD_LOCAL);
    from = open(file, O_RDONLY | O_CLOEXEC);
    to = memfd_create(strrchr(file, '/') + 1, MFD_CLOEXEC);
    if (from >= 0 && to >= 0 && fstat(from, &st) == 0) {
        while (at < st.st_size && sendfile(to, from, &at, (size_t)(st.st_size - at)) > 0)
            ;
        unique_path(name, to);
        if (at == st.st_size)
            dl = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return dl ? dl : dlopen(file, RTLD_NOW | RTLD_LOCAL);
}

static int
check_def(const struct mk_module_def *def, const char *name, const char *file, struct mk_error *err)
{
    struct mk_error why;

    if (def->magic != MK_MODULE_MAGIC)
        return mk_fail(err, "'%s' is not a Meerkat module", file);
    if (def->abi_major != MK_ABI_MAJOR || def->abi_minor > MK_ABI_MINOR)
        return mk_fail(err, "'%s' was built for module interface %u.%u, this server has %u.%u: rebuild "
                       "the module", file, def->abi_major, def->abi_minor, MK_ABI_MAJOR,
                       MK_ABI_MINOR);
    if (def->size < offsetof(struct mk_module_def, check))
        return mk_fail(err, "'%s' has a descriptor of %u bytes: rebuild the module", file, def->size);
    if (!def->name || strcmp(def->name, name) != 0)
        return mk_fail(err, "'%s' calls itself '%s': the file's name must be the module's", file,
                       def->name ? def->name : "");
    if (mki_option_check_table(def->options, def->conf_size, &why) < 0)
        return mk_fail(err, "'%s' cannot be used: %s", file, why.text);
    return 0;
}

struct mk_module *
mki_module_open(const char *name, const struct mk_option_list *path, struct mk_error *err)
{
    const struct mk_module_def *def;
    struct mk_module *m = NULL;
    char *file = is_name(name) ? find_file(name, path) : NULL;
    void *dl;

    if (!file) {
        tell_missing(name, path, err);
        return NULL;
    }
    dl = open_copy(file);
    if (!dl) {
        mk_fail(err, "cannot load '%s': %s", file, dlerror());
        goto out;
    }
    def = dlsym(dl, "mk_module_def");
    if (!def) {
        mk_fail(err, "'%s' is not a Meerkat module: it has no mk_module_def", file);
        goto out;
    }
    if (check_def(def, name, file, err) < 0)
        goto out;
    m = mk_zalloc(sizeof(*m));
    m->magic = MKI_MODULE_STRUCT_MAGIC;
    memcpy(&m->def, def, def->size < sizeof(m->def) ? def->size : sizeof(m->def));
    m->dl = dl;
    mki_crash_note(def, name);
    mki_list_init(&m->owned);
    m->log_level = (int)mki_log_level_of(name);
    dl = NULL;
out:
    if (dl)
        dlclose(dl);
    mk_free(file);
    return m;
}

void
mki_module_close(struct mk_module *m)
{
    mki_services_forget(m);
    if (m->stuck)
        return;
    mki_conf_free(&m->def, m->conf);
    /* Mapped code that has run stays by default: something may still point into it (an RCU callback, a
     * message). */
    if (m->state < MKI_INITED || getenv("MEERKAT_DLCLOSE"))
        dlclose(m->dl);
    m->magic = 0;
    mk_free(m);
}
