/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Sessions as GraphQL's type Session. Who, where and since when is in the table of sessions; the connection is known to
 * the session's node alone, which is asked for many at once.
 */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

#define AT_ONCE 512
#define TEXT_MAX 1023

json_t *
client_text(struct mk_str text)
{
    if (text.len > TEXT_MAX) {
        text.len = TEXT_MAX;
        while (text.len && ((unsigned char)text.p[text.len] & 0xc0) == 0x80)
            text.len--;
    }
    return json_str(text);
}

/* -- at the session's node -------------------------------------------------------------------- */

struct detail {
    bool found, secure;
    unsigned port;
    char ip[48];
};

struct looking {
    struct node_request *request;
    size_t count;
    mk_session_id *ids;
    struct detail *details;
};

static void
look_one(struct mk_session *s, size_t index, void *arg)
{
    struct looking *l = arg;
    struct detail *d = &l->details[index];
    const struct mk_c2s *c2s = node_request_admin(l->request)->c2s;

    if (!s)
        return;
    d->found = true;
    d->secure = c2s->flags(s) & MK_STREAM_SECURE;
    d->port = c2s->peer_port(s);
    snprintf(d->ip, sizeof(d->ip), "%s", c2s->peer_address(s));
}

static void
looked(void *arg)
{
    struct looking *l = arg;
    json_t *list = json_array();

    for (size_t i = 0; i < l->count; i++) {
        const struct detail *d = &l->details[i];

        json_array_append_new(list, d->found ? json_pack("[b,s,i]", d->secure, d->ip, (int)d->port) : json_null());
    }
    node_answer(l->request, list);
    mk_free(l->ids);
    mk_free(l->details);
    mk_free(l);
}

void
on_look(struct node_request *r)
{
    const json_t *ids = node_request_value(r, "ids");
    struct looking *l = mk_zalloc(sizeof(*l));

    l->request = r;
    l->count = json_array_size(ids);
    l->ids = mk_alloc((l->count + 1) * sizeof(*l->ids));
    l->details = mk_zalloc((l->count + 1) * sizeof(*l->details));
    for (size_t i = 0; i < l->count; i++)
        l->ids[i] = (mk_session_id)json_integer_value(json_array_get(ids, i));
    visit_sessions(node_request_admin(r), l->ids, l->count, look_one, looked, l);
}

/* -- where it is asked ------------------------------------------------------------------------ */

struct look {
    struct admin *admin;
    const struct found *found;
    json_t *list;
    look_fn fn;
    void *arg;
    size_t left;                /* nodes, and one for the beginning */
};

/* The sessions of one node, asked for a part at a time. */
struct part {
    struct look *look;
    uint32_t node;
    char *name;
    size_t *indexes;
    size_t count, next, asked;
};

static void
one_less(struct look *look)
{
    if (--look->left)
        return;
    look->fn(look->list, look->arg);
    mk_free(look);
}

static json_t *
session_new(const struct found *f, const char *node)
{
    int64_t uptime = mk_time_us() / 1000000 - (int64_t)(f->since / 1000);
    json_t *o = json_object();

    json_object_set_new(o, "user", json_string(f->jid));
    json_object_set_new(o, "connection", json_null());
    json_object_set_new(o, "ip", json_null());
    json_object_set_new(o, "port", json_null());
    json_object_set_new(o, "priority", json_integer(f->priority));
    json_object_set_new(o, "node", json_string(node));
    json_object_set_new(o, "uptime", json_integer(uptime < 0 ? 0 : uptime));
    return o;
}

/* `detail`: [secure, address, port]. A session without a connection at the moment has no address. */
static void
set_detail(json_t *session, const json_t *detail)
{
    const char *ip = json_string_value(json_array_get(detail, 1));

    if (!ip || !*ip)
        return;
    json_object_set_new(session, "connection",
                        json_string(json_is_true(json_array_get(detail, 0)) ? "c2s_tls" : "c2s"));
    json_object_set_new(session, "ip", json_string(ip));
    json_object_set(session, "port", json_array_get(detail, 2));
}

/* An answer came (or it begins): the next ones are asked for. */
static void
part_step(const json_t *answer, void *arg)
{
    struct part *p = arg;
    struct look *look = p->look;
    json_t *ids;

    for (size_t i = 0; i < p->asked; i++)
        set_detail(json_array_get(look->list, p->indexes[p->next + i]), json_array_get(answer, i));
    p->next += p->asked;
    if (p->next == p->count) {
        mk_free(p->indexes);
        mk_free(p->name);
        mk_free(p);
        one_less(look);
        return;
    }
    p->asked = p->count - p->next < AT_ONCE ? p->count - p->next : AT_ONCE;
    ids = json_array();
    for (size_t i = 0; i < p->asked; i++) {
        size_t index = p->indexes[p->next + i];

        json_array_set_new(look->list, index, session_new(&look->found[index], p->name));
        json_array_append_new(ids, json_integer((json_int_t)look->found[index].there));
    }
    node_ask(look->admin, p->node, "look", json_pack("{s:o}", "ids", ids), part_step, p);
}

static struct part *
part_of(struct part **parts, size_t *count, struct look *look, uint32_t node, size_t sessions)
{
    for (size_t i = 0; i < *count; i++) {
        if (parts[i]->node == node)
            return parts[i];
    }
    parts[*count] = mk_zalloc(sizeof(struct part));
    *parts[*count] = (struct part){.look = look, .node = node, .name = node_name(look->admin, node)};
    parts[*count]->indexes = mk_alloc(sessions * sizeof(size_t));
    return parts[(*count)++];
}

void
look_at(struct admin *a, const struct found *found, size_t count, look_fn fn, void *arg)
{
    struct part *parts[NODES_MAX], *p;
    struct look *look = mk_alloc(sizeof(*look));
    size_t part_count = 0;

    *look = (struct look){a, found, json_array(), fn, arg, 1};
    for (size_t i = 0; i < count && part_count < NODES_MAX; i++) {
        p = part_of(parts, &part_count, look, found[i].node, count);
        json_array_append_new(look->list, json_null());
        p->indexes[p->count++] = i;
    }
    look->left += part_count;
    for (size_t i = 0; i < part_count; i++)
        part_step(NULL, parts[i]);
    one_less(look);
}

/* -- one account ------------------------------------------------------------------------------- */

struct finding {
    const struct mk_jid *account;
    struct found *found;
    size_t count;
};

static bool
add_resource(const struct mk_resource *r, void *arg)
{
    struct finding *f = arg;
    struct mk_str bare = mk_jid_bare(f->account);

    if ((f->count & (f->count - 1)) == 0)
        f->found = mk_realloc(f->found, (f->count ? 2 * f->count : 1) * sizeof(*f->found));
    f->found[f->count++] = (struct found){
        .jid = mk_printf_new("%.*s/%.*s", MK_STR_ARG(bare), MK_STR_ARG(r->resource)),
        .node = r->node, .there = r->there, .priority = r->priority, .flags = r->flags, .since = r->since};
    return true;
}

static int
compare(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->jid, ((const struct found *)b)->jid);
}

struct found *
found_of(struct admin *a, const struct mk_jid *account, size_t *count_out)
{
    struct finding f = {.account = account};

    a->sessions->each(a->sessions->self, account, add_resource, &f);
    if (f.count)
        qsort(f.found, f.count, sizeof(*f.found), compare);
    *count_out = f.count;
    return f.found;
}
