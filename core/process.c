/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The process: limits, privileges, pid file, systemd's notifications. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log-internal.h"
#include "server-internal.h"

void
mki_raise_limits(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) < 0)
            mki_log(MK_LOG_WARN, "process.limit", "cannot raise the number of descriptors to %llu: %s",
                    (unsigned long long)r.rlim_max, strerror(errno));
    }
}

/* The numbers of a user and a group (empty: the user's own). */
static int
find_user(const char *user, const char *group, uid_t *uid, gid_t *gid, struct mk_error *err)
{
    struct passwd *pw = getpwnam(user);
    struct group *gr = NULL;

    if (!pw)
        return mk_fail(err, "[meerkat] 'user': there is no user '%s'", user);
    if (group && *group && !(gr = getgrnam(group)))
        return mk_fail(err, "[meerkat] 'group': there is no group '%s'", group);
    *uid = pw->pw_uid;
    *gid = gr ? gr->gr_gid : pw->pw_gid;
    return 0;
}

int
mki_drop_privileges(const char *user, const char *group, struct mk_error *err)
{
    uid_t uid;
    gid_t gid;

    if (!user || !*user)
        return 0;
    if (find_user(user, group, &uid, &gid, err) < 0)
        return -1;
    if (geteuid() == uid)
        return 0;
    if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
        return mk_fail(err, "cannot become user '%s': %s", user, strerror(errno));
    /* setuid took the right to dump core away. */
    prctl(PR_SET_DUMPABLE, 1);
    return 0;
}

int
mki_give(const char *path, const char *user, const char *group, bool read_only, struct mk_error *err)
{
    uid_t uid;
    gid_t gid;

    if (!user || !*user || geteuid() != 0)
        return 0;
    if (find_user(user, group, &uid, &gid, err) < 0)
        return -1;
    if (chown(path, read_only ? 0 : uid, gid) < 0)
        return mk_fail(err, "cannot give '%s' to user '%s': %s", path, user, strerror(errno));
    return 0;
}

int
mki_pid_file_write(const char *path, struct mk_error *err)
{
    FILE *f;

    if (!path || !*path)
        return 0;
    f = fopen(path, "we");
    if (!f || fprintf(f, "%ld\n", (long)getpid()) < 0) {
        if (f)
            fclose(f);
        return mk_fail(err, "cannot write the pid file '%s': %s", path, strerror(errno));
    }
    if (fclose(f) != 0)
        return mk_fail(err, "cannot write the pid file '%s': %s", path, strerror(errno));
    return 0;
}

void
mki_pid_file_remove(const char *path)
{
    if (path && *path)
        unlink(path);
}

int
mki_make_dir(const char *path, struct mk_error *err)
{
    char *copy = mk_strdup(path);
    int rc = 0;

    for (char *p = copy + 1; rc == 0; p++) {
        char c = *p;

        if (c != '/' && c)
            continue;
        *p = '\0';
        if (mkdir(copy, 0750) < 0 && errno != EEXIST)
            rc = mk_fail(err, "cannot make the folder '%s': %s", copy, strerror(errno));
        *p = c;
        if (!c)
            break;
    }
    mk_free(copy);
    return rc;
}

void
mki_run_again(char **argv, const char *path)
{
    /* Whatever a library has opened without the flag stays behind. */
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    execv(path, argv);
    mki_log(MK_LOG_ERROR, "process.restart", "cannot run '%s' anew: %s", path, strerror(errno));
}

void
mki_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len;
    int fd;

    if (!path || !*path || strlen(path) >= sizeof(a.sun_path))
        return;
    memcpy(a.sun_path, path, strlen(path));
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (a.sun_path[0] == '@')
        a.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a, len) < 0)
        mki_log(MK_LOG_WARN, "process.notify", "cannot notify the service manager: %s",
                strerror(errno));
    close(fd);
}
