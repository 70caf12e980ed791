/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* meerkatd: the command line. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/thread.h>

#include "server-internal.h"

enum { OPT_SET = 256, OPT_CHECK, OPT_DESCRIBE, OPT_VERSION, OPT_RUN, OPT_SCHEMA, OPT_INIT };

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"set", required_argument, NULL, OPT_SET},
                                             {"foreground", no_argument, NULL, 'f'},
                                             {"check", no_argument, NULL, OPT_CHECK},
                                             {"describe", optional_argument, NULL, OPT_DESCRIBE},
                                             {"print-schema", required_argument, NULL, OPT_SCHEMA},
                                             {"init", required_argument, NULL, OPT_INIT},
                                             {"run", no_argument, NULL, OPT_RUN},
                                             {"version", no_argument, NULL, OPT_VERSION},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static void
usage(FILE *out)
{
    fputs("usage: meerkatd [options]\n"
          "  -c, --config FILE          the configuration (default: " MK_SYSCONFDIR
          "/meerkat/meerkat.ini)\n"
          "      --set SECTION.KEY=VALUE  one setting more, over the file's; any number of times\n"
          "  -f, --foreground           stay in the foreground (the default under a service manager)\n"
          "      --check                check the configuration and say what is wrong with it\n"
          "      --describe [NAME]      describe a module and its options, or the core and all modules\n"
          "      --init HOST            write a configuration for HOST with a certificate, tables, a first account\n"
          "      --run [TASK ARGUMENTS] do a task of a module (import, export, backup …) and end; alone: list them\n"
          "      --print-schema DRIVER  print the tables of all modules as SQL: pgsql or sqlite\n"
          "      --version              print the version\n",
          out);
}

static void
add_set(struct mki_args *args, char *set)
{
    args->sets = mk_realloc(args->sets, (args->set_count + 1) * sizeof(*args->sets));
    args->sets[args->set_count++] = set;
}

/* What the command line asks for. */
struct asked {
    int what;                   /* an OPT_, or 0: run */
    const char *argument;
};

/* 0: go on; else end with this code less one. */
static int
parse(int argc, char **argv, struct mki_args *args, struct asked *asked)
{
    int c;

    /* "+": what stands behind the name of a task is the task's. */
    while (asked->what != OPT_RUN && (c = getopt_long(argc, argv, "+c:fh", long_options, NULL)) >= 0) {
        switch (c) {
        case 'c':
            args->config = optarg;
            break;
        case OPT_SET:
            add_set(args, optarg);
            break;
        case 'f':
            args->foreground = true;
            break;
        case OPT_CHECK:
        case OPT_DESCRIBE:
        case OPT_SCHEMA:
        case OPT_INIT:
        case OPT_RUN:
            asked->what = c;
            asked->argument = optarg;
            break;
        case OPT_VERSION:
            puts("meerkatd " PACKAGE_VERSION);
            return 1;
        case 'h':
            usage(stdout);
            return 1;
        default:
            usage(stderr);
            return 3;
        }
        /* "--describe NAME" as well as "--describe=NAME". */
        if (c == OPT_DESCRIBE && !optarg && optind < argc && argv[optind][0] != '-')
            asked->argument = argv[optind++];
    }
    if (asked->what == OPT_RUN || optind >= argc)
        return 0;
    fprintf(stderr, "meerkatd: '%s' is not an option\n", argv[optind]);
    return 3;
}

/* Runs; anew after a restart that was asked for, as long as this process still has the rights it began with. */
static int
run(const struct mki_args *args, char **argv)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    uid_t user = geteuid();
    int rc = mki_server_run(args);

    if (rc == MKI_RUN_AGAIN && len > 0 && geteuid() == user) {
        path[len] = '\0';
        mki_run_again(argv, path);
    }
    return rc;
}

static int
dispatch(struct mki_args *args, const struct asked *asked, int argc, char **argv)
{
    switch (asked->what) {
    case OPT_CHECK:
        args->check = true;
        return mki_server_check(args);
    case OPT_DESCRIBE:
        return mki_server_describe(args, asked->argument);
    case OPT_SCHEMA:
        return mki_server_schema(args, asked->argument);
    case OPT_INIT:
        return mki_server_init(args, asked->argument);
    case OPT_RUN:
        if (optind >= argc)
            return mki_server_task(args, NULL, 0, NULL);
        return mki_server_task(args, argv[optind], (size_t)(argc - optind - 1), argv + optind + 1);
    default:
        return run(args, argv);
    }
}

int
main(int argc, char **argv)
{
    struct mki_args args = {NULL, NULL, 0, false, false};
    struct asked asked = {0, NULL};
    int rc = parse(argc, argv, &args, &asked);

    if (rc)
        return rc - 1;
    /* What libevent has no memory for it would drop in silence. */
    event_set_mem_functions(mk_alloc, mk_realloc, mk_free);
    if (evthread_use_pthreads() < 0)
        return 3;
    rc = dispatch(&args, &asked, argc, argv);
    mk_free(args.sets);
    return rc;
}
