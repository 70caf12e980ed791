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
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log-internal.h"
#include "server-internal.h"

static void
raise_limit(int which, const char *what)
{
    struct rlimit r;

    if (getrlimit(which, &r) < 0 || r.rlim_cur >= r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(which, &r) < 0)
        mki_log(MK_LOG_WARN, "process.limit", "cannot raise %s to %llu: %s", what,
                (unsigned long long)r.rlim_max, strerror(errno));
}

void
mki_raise_limits(bool core_dumps)
{
    raise_limit(RLIMIT_NOFILE, "the number of descriptors");
    if (core_dumps)
        raise_limit(RLIMIT_CORE, "the size of core files");
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
    if (initgroups(user, gid) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
        return mk_fail(err, "cannot become user '%s': %s", user, strerror(errno));
    /* setuid took the right to dump core away. */
    prctl(PR_SET_DUMPABLE, 1);
    return 0;
}

int
mki_act_as(const char *user, const char *group, struct mk_error *err)
{
    uid_t uid;
    gid_t gid;

    if (!user || !*user || geteuid() != 0)
        return 0;
    if (find_user(user, group, &uid, &gid, err) < 0)
        return -1;
    if (mki_log_fd() != STDERR_FILENO && fchown(mki_log_fd(), uid, gid) < 0)
        return mk_fail(err, "cannot give the log file to user '%s': %s", user, strerror(errno));
    if (initgroups(user, gid) < 0)
        return mk_fail(err, "cannot join the groups of user '%s': %s", user, strerror(errno));
    setfsgid(gid);
    setfsuid(uid);
    /* These do not say whether they worked; asking for nobody changes nothing and tells. */
    if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
        return mk_fail(err, "cannot make files as user '%s'", user);
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

static int pid_fd = -1;

int
mki_pid_file_write(const char *path, struct mk_error *err)
{
    uid_t user;

    if (!path || !*path)
        return 0;
    /* Folders of pid files are root's. */
    user = (uid_t)setfsuid(geteuid());
    pid_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    setfsuid(user);
    if (pid_fd < 0 || dprintf(pid_fd, "%ld\n", (long)getpid()) < 0)
        return mk_fail(err, "cannot write the pid file '%s': %s", path, strerror(errno));
    return 0;
}

/* Only what we have written. A user who may not remove it leaves it empty. */
void
mki_pid_file_remove(const char *path)
{
    if (pid_fd < 0)
        return;
    if (unlink(path) < 0 && ftruncate(pid_fd, 0) < 0)
        mki_log(MK_LOG_WARN, "process.pid_file", "cannot remove the pid file '%s': %s", path, strerror(errno));
    close(pid_fd);
    pid_fd = -1;
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

/* systemd (Type=notify-reload) wants to know since when. */
void
mki_notify_reloading(void)
{
    struct timespec now;
    char text[64];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    mki_notify(text);
}
