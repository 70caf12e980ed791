/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* libFuzzer target: a configuration file, read and filled into options of every type. */
#include "config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_conf {
    bool b;
    int64_t i;
    int e;
    uint64_t period, bytes;
    char *text, *path, *secret;
    struct mk_jid *jid;
    struct mk_option_list list, addresses;
};

static const char *const choices[] = {"red", "green", NULL};
static const struct mk_option options[] = {
    MK_OPTION_BOOL(struct fuzz_conf, b, "yes", MK_OPT_PER_HOST, "a bool"),
    MK_OPTION_INT(struct fuzz_conf, i, "5", "-10", "1000", MK_OPT_PER_HOST, "an integer"),
    MK_OPTION_ENUM(struct fuzz_conf, e, "red", choices, 0, "a word"),
    MK_OPTION_PERIOD(struct fuzz_conf, period, "5s", "0", "1d", 0, "a period"),
    MK_OPTION_SIZE(struct fuzz_conf, bytes, "5K", "0", "1G", 0, "a size"),
    MK_OPTION_STRING(struct fuzz_conf, text, "x", MK_OPT_PER_HOST, "a text"),
    MK_OPTION_PATH(struct fuzz_conf, path, NULL, 0, "a path"),
    MK_OPTION_SECRET(struct fuzz_conf, secret, NULL, 0, "a secret"),
    MK_OPTION_JID(struct fuzz_conf, jid, NULL, 0, "a JID"),
    MK_OPTION_LIST(struct fuzz_conf, list, "a, b", 0, "a list"),
    MK_OPTION_ADDRESSES(struct fuzz_conf, addresses, NULL, 0, "addresses"),
    MK_OPTION_END};

/* Files of the system are no part of the input. */
static bool
names_a_file(const uint8_t *data, size_t size)
{
    return memmem(data, size, "include", 7) || memmem(data, size, "file:", 5);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mk_module_def def = {.name = "fuzz", .options = options,
                                             .conf_size = sizeof(struct fuzz_conf)};
    char host[] = "localhost";
    char *hosts[] = {host};
    struct mk_option_list host_list = {1, hosts};
    char path[32];
    struct mki_conf *conf;
    struct mki_ini *ini;
    int fd;

    if (names_a_file(data, size))
        return 0;
    fd = memfd_create("ini", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        MK_BUG("cannot write the file");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ini = mki_ini_read(path, NULL, 0);
    conf = mki_ini_conf(ini, &def, &host_list);
    for (size_t i = 0; mki_ini_module(ini, i); i++)
        ;
    mki_ini_unused(ini, &host_list);
    MK_ASSERT(!ini->error_count == !ini->errors.len);
    mki_conf_free(&def, conf);
    mki_ini_free(&ini);
    close(fd);
    return 0;
}
