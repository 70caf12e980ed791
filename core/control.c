/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The control socket: a Unix socket (file permissions are its protection) that takes one line and
 * answers with lines of which the last is "ok" or "error: …". What it knows: status, reload, stop,
 * module load|unload|reload NAME, hooks, metrics,
 * registry.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include <meerkat/metrics.h>

#include "hook-internal.h"
#include "log-internal.h"
#include "server-internal.h"

static struct {
    int fd;
    struct event *event;
    char *path;
} control = {.fd = -1};

static void
tell_hook(const char *hook, const char *module, int prio, const char *fn_name, const char *file,
          int line, void *arg)
{
    mk_buf_printf(arg, "%s\t%d\t%s\t%s\t%s:%d\n", hook, prio, module, fn_name, file, line);
}

/* A histogram as its sum and count; the buckets are for the export. */
static void
tell_metric(const struct mk_metric *m, void *arg)
{
    const char *open = m->labels ? "{" : "", *close = m->labels ? "}" : "";
    const char *labels = m->labels ? m->labels : "";

    if (m->kind != MK_METRIC_HISTOGRAM) {
        mk_buf_printf(arg, "%s%s%s%s %.15g\n", m->name, open, labels, close, m->value);
        return;
    }
    mk_buf_printf(arg, "%s_sum%s%s%s %.15g\n", m->name, open, labels, close, m->value);
    mk_buf_printf(arg, "%s_count%s%s%s %llu\n", m->name, open, labels, close,
                  (unsigned long long)m->count);
}

static int
run(char *line, struct mk_buf *out, struct mk_error *err)
{
    char *save = NULL;
    const char *word = strtok_r(line, " \t\r\n", &save);
    const char *second = strtok_r(NULL, " \t\r\n", &save);
    const char *third = strtok_r(NULL, " \t\r\n", &save);

    if (!word)
        return mk_fail(err, "nothing was asked");
    if (strcmp(word, "status") == 0) {
        mki_server_tell(out);
        return 0;
    }
    if (strcmp(word, "reload") == 0)
        return mki_server_reload(err);
    if (strcmp(word, "stop") == 0) {
        mki_server_stop();
        return 0;
    }
    if (strcmp(word, "hooks") == 0) {
        mki_hooks_each(tell_hook, out);
        return 0;
    }
    if (strcmp(word, "registry") == 0) {
        mki_registry_tell(out);
        return 0;
    }
    if (strcmp(word, "metrics") == 0) {
        mk_metric_each(tell_metric, out);
        return 0;
    }
    if (strcmp(word, "module") == 0 && second && third)
        return mki_server_module(second, third, err);
    return mk_fail(err, "'%s' is not known; there are status, reload, stop, hooks, metrics, "
                   "registry, module load|unload|reload NAME", word);
}

static void
serve(int fd)
{
    struct timeval limit = {2, 0};
    struct mk_buf out = {0};
    struct mk_error err = {""};
    char line[512];
    ssize_t n;
    size_t done = 0;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    n = recv(fd, line, sizeof(line) - 1, 0);
    if (n <= 0)
        return;
    line[n] = '\0';
    if (run(line, &out, &err) == 0)
        mk_buf_add_cstr(&out, "ok\n");
    else
        mk_buf_printf(&out, "error: %s\n", err.text);
    while (done < out.len && (n = send(fd, out.data + done, out.len - done, MSG_NOSIGNAL)) > 0)
        done += (size_t)n;
    mk_buf_release(&out);
}

static void
on_connect(evutil_socket_t fd, short what, void *arg)
{
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    (void)what;
    (void)arg;
    if (client < 0)
        return;
    serve(client);
    close(client);
}

int
mki_control_start(struct event_base *base, const char *path, struct mk_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    mode_t old;
    int rc;

    if (!path || !*path)
        return 0;
    if (strlen(path) >= sizeof(a.sun_path))
        return mk_fail(err, "[meerkat] 'control': the path is longer than %zu characters",
                       sizeof(a.sun_path) - 1);
    strcpy(a.sun_path, path);
    control.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control.fd < 0)
        return mk_fail(err, "cannot make the control socket: %s", strerror(errno));
    unlink(path);
    old = umask(0117);
    rc = bind(control.fd, (struct sockaddr *)&a, sizeof(a));
    umask(old);
    if (rc < 0 || listen(control.fd, 16) < 0)
        return mk_fail(err, "cannot listen on the control socket '%s': %s", path, strerror(errno));
    control.path = mk_strdup(path);
    control.event = event_new(base, control.fd, EV_READ | EV_PERSIST, on_connect, NULL);
    event_add(control.event, NULL);
    return 0;
}

void
mki_control_stop(void)
{
    if (control.event)
        event_free(control.event);
    if (control.fd >= 0)
        close(control.fd);
    if (control.path)
        unlink(control.path);
    mk_free(control.path);
    memset(&control, 0, sizeof(control));
    control.fd = -1;
}
