/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The server as a whole: its own options, starting, the main loop, stopping. */
#ifndef MKI_SERVER_H
#define MKI_SERVER_H

#include <stdio.h>

#include "config-internal.h"
#include "module-internal.h"

struct mki_core_conf {
    struct mk_option_list hosts;
    char *node;
    int64_t workers;
    char *state_dir;
    struct mk_option_list module_path;
    char *user, *group;
    char *pid_file;
    bool core_dumps;
    char *control;
    uint64_t stop_timeout;
    int64_t offload_threads;
    int64_t offload_queue;
};

struct mki_log_conf {
    int level;
    struct mk_option_list levels;
    int format;
    int target;
    char *file;
    int64_t rate;
};

extern const struct mk_option mki_core_options[];
extern const struct mk_option mki_log_options[];

/* The command line. */
struct mki_args {
    const char *config;
    char **sets;
    size_t set_count;
    bool check;
    bool foreground;
};

/* Reads the configuration and runs until told to stop; an exit code. */
int mki_server_run(const struct mki_args *args);
/* Runs the program anew in this process; returns when that cannot be. */
void mki_run_again(char **argv, const char *path);
/* Reads and checks the configuration, prints what is wrong; an exit code. */
int mki_server_check(const struct mki_args *args);
/* Runs a task of a module with its arguments (name NULL: lists the tasks); an exit code. */
int mki_server_task(const struct mki_args *args, const char *name, size_t argc, char **argv);
/* Prints the tables of all modules in the module path in the dialect of a driver; an exit code. */
int mki_server_schema(const struct mki_args *args, const char *driver);
/* Describes a module (NULL: the core and the list of modules); an exit code. */
int mki_server_describe(const struct mki_args *args, const char *name);

void mki_describe_options(const struct mk_option *options, FILE *out);
void mki_describe_module(const struct mk_module *m, FILE *out);

/* task.c: the parts of the two above. */
void mki_task_list(const struct mk_option_list *path);
void mki_task_want(struct mki_ini *ini, const struct mk_option_list *path, const char *name, char **module_out);
int mki_task_begin(const char *name, const char *module, size_t argc, char **argv, const char *control,
                   struct mk_error *err);
void mki_schema_want(struct mki_ini *ini, const struct mk_option_list *path, const char *driver);
int mki_schema_print(struct mk_error *err);

/* init.c: writes a configuration, a certificate and a first account for `host`; an exit code. */
int mki_server_init(struct mki_args *args, const char *host);

/* -- on the main thread, for the control socket and signals */
int mki_server_reload(struct mk_error *err);
int mki_server_module(const char *what, const char *name, struct mk_error *err);
void mki_server_stop(void);
/* Any thread: the stop that follows is one after which mki_server_run returns MKI_RUN_AGAIN. */
void mki_server_restart(void);
#define MKI_RUN_AGAIN 75        /* EX_TEMPFAIL, when the program cannot be run anew by itself */
/* The readiness check "server" (admin.h). */
const char *mki_server_not_ready(void *arg);
/* The main thread's loop. */
struct event_base;
struct event_base *mki_server_base(void);
bool mki_server_is_stopping(void);
/* admin.c: what workers want done on the main thread. `in_between`: while it waits for a module to come to rest. */
void mki_errands_run(bool in_between);
/* A short text for `status`. */
void mki_server_tell(struct mk_buf *out);

/* What the modules have registered, line by line (registry.c). */
void mki_registry_tell(struct mk_buf *out);

/* control.c: a Unix socket that takes a line and answers with lines. */
int mki_control_start(struct event_base *base, const char *path, struct mk_error *err);
void mki_control_stop(void);

/* process.c */
void mki_raise_limits(bool core_dumps);
/* As root: files are made and opened as this user from now on, on this thread and on those that it starts; ports still as
 * root. */
int mki_act_as(const char *user, const char *group, struct mk_error *err);
int mki_drop_privileges(const char *user, const char *group, struct mk_error *err);
int mki_pid_file_write(const char *path, struct mk_error *err);
void mki_pid_file_remove(const char *path);
void mki_notify(const char *state);
void mki_notify_reloading(void);
int mki_make_dir(const char *path, struct mk_error *err);
/* Root gives a file or folder to a user (NULL or empty: nothing is done); `read_only`: only to the user's group. */
int mki_give(const char *path, const char *user, const char *group, bool read_only, struct mk_error *err);

/* crash.c: a fatal signal leaves a backtrace in the log. */
void mki_crash_install(void);
/* Frames of this module are shown with its name; `inside` is any address of it. */
void mki_crash_note(const void *inside, const char *name);
/* Ends with 0. */
extern const int mki_crash_signals[];

#endif
