/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* meerkatd: the command line. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/thread.h>

#include "server-internal.h"

enum { OPT_SET = 256, OPT_CHECK, OPT_DESCRIBE, OPT_VERSION };

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"set", required_argument, NULL, OPT_SET},
                                             {"foreground", no_argument, NULL, 'f'},
                                             {"check", no_argument, NULL, OPT_CHECK},
                                             {"describe", optional_argument, NULL, OPT_DESCRIBE},
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
          "      --version              print the version\n",
          out);
}

static void
add_set(struct mki_args *args, char *set)
{
    args->sets = mk_realloc(args->sets, (args->set_count + 1) * sizeof(*args->sets));
    args->sets[args->set_count++] = set;
}

int
main(int argc, char **argv)
{
    struct mki_args args = {NULL, NULL, 0, false, false};
    bool describe = false;
    const char *name = NULL;
    int c, rc;

    while ((c = getopt_long(argc, argv, "c:fh", long_options, NULL)) >= 0) {
        switch (c) {
        case 'c':
            args.config = optarg;
            break;
        case OPT_SET:
            add_set(&args, optarg);
            break;
        case 'f':
            args.foreground = true;
            break;
        case OPT_CHECK:
            args.check = true;
            break;
        case OPT_DESCRIBE:
            describe = true;
            name = optarg;
            break;
        case OPT_VERSION:
            puts("meerkatd " PACKAGE_VERSION);
            return 0;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    /* "--describe NAME" as well as "--describe=NAME". */
    if (describe && !name && optind < argc)
        name = argv[optind++];
    if (optind < argc) {
        fprintf(stderr, "meerkatd: '%s' is not an option\n", argv[optind]);
        return 2;
    }
    if (evthread_use_pthreads() < 0)
        return 3;
    if (describe)
        rc = mki_server_describe(&args, name);
    else
        rc = args.check ? mki_server_check(&args) : mki_server_run(&args);
    mk_free(args.sets);
    return rc;
}
