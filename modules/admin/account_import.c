/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * importUsers: a CSV file on the server (RFC 4180: name, domain, password; quotes where they are needed) becomes
 * accounts. It is read on the offload pool; a few accounts at a time are made, whose keys cost most of the time.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define AT_ONCE 8

struct import {
    struct admin *admin;
    struct mk_gql_field *f;
    char *path;
    uint64_t size_max;
    struct mk_buf text;
    size_t at;                  /* the next line */
    const char *code;           /* why it was not read */
    size_t under_way;
    bool unavailable, due;      /* due: go_on is deferred */
    json_t *payload;
    mk_task_fn go_on;
};

static void
import_free(struct import *im)
{
    if (im->text.data)
        mk_wipe(im->text.data, im->text.cap);
    mk_buf_release(&im->text);
    json_decref(im->payload);
    mk_free(im->path);
    mk_free(im);
}

/* -- the file --------------------------------------------------------------------------------- */

static const char *
read_from(struct import *im, int fd)
{
    struct stat st;
    ssize_t n = 1;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return "file_not_found";
    if ((uint64_t)st.st_size > im->size_max)
        return "file_too_large";
    while (n > 0 && im->text.len <= im->size_max) {
        mk_buf_reserve(&im->text, 65536);
        n = read(fd, im->text.data + im->text.len, im->text.cap - im->text.len);
        if (n > 0)
            im->text.len += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    return n == 0 ? NULL : "file_not_found";
}

static void
read_file(void *arg)
{
    struct import *im = arg;
    int fd = open(im->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    im->code = fd < 0 ? "file_not_found" : read_from(im, fd);
    if (fd >= 0)
        close(fd);
}

/* -- a line ----------------------------------------------------------------------------------- */

/* The next field of a line at *p, without its quotes; false: the quotes are wrong. */
static bool
field_of(const char **p, const char *end, struct mk_buf *out)
{
    const char *s = *p;

    mk_buf_clear(out);
    if (s == end || *s != '"') {
        while (s < end && *s != ',')
            mk_buf_add_byte(out, *s++);
        *p = s;
        return true;
    }
    for (s++; s < end; s++) {
        if (*s == '"' && s + 1 < end && s[1] == '"')
            s++;
        else if (*s == '"')
            break;
        mk_buf_add_byte(out, *s);
    }
    *p = s < end ? s + 1 : s;
    return s < end && (*p == end || **p == ',');
}

/* Three fields, no more. */
static bool
fields_of(struct mk_str line, struct mk_buf fields[3])
{
    const char *p = line.p, *end = line.p + line.len;

    for (int i = 0; i < 3; i++) {
        if (!field_of(&p, end, &fields[i]) || (i < 2 && p == end))
            return false;
        p += p < end && i < 2;
    }
    return p == end;
}

static void
note(struct import *im, const char *list, struct mk_str text)
{
    json_t *array = json_object_get(im->payload, list), *value = json_str(text);

    if (!array) {
        array = json_array();
        json_object_set_new(im->payload, list, array);
    }
    json_array_append_new(array, value ? value : json_string("(not UTF-8)"));
}

/* -- accounts --------------------------------------------------------------------------------- */

struct record {
    struct import *import;
    struct mk_jid *jid;
};

static void
on_created(enum mk_auth_result result, void *arg)
{
    struct record *r = arg;
    struct import *im = r->import;
    struct mk_str jid = mk_jid_text(r->jid);

    if (result == MK_AUTH_OK)
        note(im, "created", jid);
    else if (result == MK_AUTH_EXISTS)
        note(im, "existing", jid);
    else if (result == MK_AUTH_NOT_ALLOWED)
        note(im, "notAllowed", jid);
    else
        im->unavailable = true;
    mk_jid_unref(&r->jid);
    mk_free(r);
    im->under_way--;
    if (!im->due)
        mk_defer(im->admin->module, im->go_on, im);
    im->due = true;
}

static void
take_line(struct import *im, struct mk_str line)
{
    struct mk_buf fields[3] = {{0}};
    struct mk_jid *jid = NULL;
    struct mk_host *host;
    struct record *r;

    if (!fields_of(line, fields)) {
        note(im, "invalidRecord", MK_STR("(a line without name, domain and password)"));
    } else if (!fields[0].len || !(jid = mk_jid_new(mk_buf_str(&fields[0]), mk_buf_str(&fields[1]), (struct mk_str){0}))) {
        mk_buf_add_byte(&fields[0], '@');
        mk_buf_add_str(&fields[0], mk_buf_str(&fields[1]));
        note(im, "invalidJID", mk_buf_str(&fields[0]));
    } else if (!(host = mk_host_find(mk_jid_domain(jid)))) {
        note(im, "notAllowed", mk_jid_text(jid));
    } else if (!fields[2].len) {
        note(im, "emptyPassword", mk_jid_text(jid));
    } else {
        r = mk_alloc(sizeof(*r));
        *r = (struct record){im, mk_jid_ref(jid)};
        im->under_way++;
        account_create(im->admin, host, mk_jid_local(jid), mk_buf_str(&fields[2]), on_created, r);
    }
    mk_jid_unref(&jid);
    if (fields[2].data)
        mk_wipe(fields[2].data, fields[2].cap);
    for (int i = 0; i < 3; i++)
        mk_buf_release(&fields[i]);
}

static struct mk_str
next_line(struct import *im)
{
    const char *start = im->text.data + im->at;
    const char *nl = memchr(start, '\n', im->text.len - im->at);
    struct mk_str line = {start, nl ? (size_t)(nl - start) : im->text.len - im->at};

    im->at += line.len + (nl != NULL);
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

static void
finish(struct import *im)
{
    mk_log(im->admin->module, MK_LOG_INFO, "admin.import", "%zu accounts were made from a file",
           json_array_size(json_object_get(im->payload, "created")));
    json_object_set_new(im->payload, "status",
                        json_string(im->unavailable ? "Interrupted: the accounts cannot be stored now" : "Completed"));
    mk_gql_answer(im->f, json_incref(im->payload));
    import_free(im);
}

static void
import_go_on(void *arg)
{
    struct import *im = arg;
    struct mk_str line;

    im->due = false;
    while (im->at < im->text.len && im->under_way < AT_ONCE && !im->unavailable) {
        line = next_line(im);
        if (line.len)
            take_line(im, line);
    }
    if (im->under_way == 0 && !im->due && (im->at == im->text.len || im->unavailable))
        finish(im);
}

static void
on_read(void *arg)
{
    struct import *im = arg;

    if (!im->code) {
        import_go_on(im);
        return;
    }
    fail_about(im->f, im->code, "filename", im->path,
               strcmp(im->code, "file_too_large") == 0 ? "The file is larger than option 'import_size' of module 'admin' allows"
                                                        : "File not found, or not to be read");
    import_free(im);
}

void
account_import_users(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;
    const struct admin_conf *conf = mk_module_conf(a->module, NULL);
    struct import *im = mk_zalloc(sizeof(*im));

    *im = (struct import){.admin = a, .f = f, .path = mk_strdup(mk_gql_string(f, "filename")),
                          .size_max = conf->import_size, .payload = json_object(), .go_on = import_go_on};
    mk_gql_takes_long(f);
    if (mk_offload(a->module, read_file, on_read, im) < 0) {
        fail_auth(f, MK_AUTH_BUSY);
        import_free(im);
    }
}
