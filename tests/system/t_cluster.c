/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For tests: what an administrator's API does with a cluster, told by messages to the server ("end JID", "reload"), answered by
 * messages; and the events of the cluster in the log.
 */
#include <stdio.h>

#include <meerkat/cluster.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>

struct t {
    struct mk_module *module;
    const struct mk_sessions *sessions;
    const struct mk_cluster *cluster;
};

/* A request, until it is answered. */
struct asked {
    struct t *t;
    struct mk_jid *from, *to;
    struct mk_jid *wanted;
    bool found;
};

static void
say(struct asked *a, const char *text)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_stanza *st;

    mk_xml_leaf(x, "body", NULL, mk_str_of(text));
    st = mk_stanza_new(MK_MESSAGE, MK_TYPE_CHAT, a->to, a->from, NULL, x);
    mk_route(st);
    mk_stanza_unref(&st);
    mk_jid_unref(&a->from);
    mk_jid_unref(&a->to);
    mk_jid_unref(&a->wanted);
    mk_free(a);
}

static void
on_ended(bool found, void *arg)
{
    say(arg, found ? "ended" : "not there");
}

static bool
end_one(const struct mk_resource *r, void *arg)
{
    struct asked *a = arg;

    if (!mk_str_eq(r->resource, mk_jid_resource(a->wanted)))
        return true;
    a->found = true;
    a->t->sessions->end(a->t->sessions->self, r, "policy-violation", "ended from afar", on_ended, a);
    return false;
}

static void
on_reloaded(const struct mk_cluster_reload *nodes, size_t count, void *arg)
{
    struct mk_buf text = {0};

    for (size_t i = 0; i < count; i++)
        mk_buf_printf(&text, "%s%s: %s", i ? " | " : "", nodes[i].name, nodes[i].error ? nodes[i].error : "well");
    mk_buf_add_byte(&text, '\0');
    say(arg, text.data);
    mk_buf_release(&text);
}

static enum mk_verdict
on_host(struct mk_ev_route *ev, void *arg)
{
    const struct mk_node *body = mk_stanza_child(ev->stanza, "body", MK_NS_CLIENT);
    struct t *t = arg;
    struct asked *a;
    char *text;

    if (mk_stanza_kind(ev->stanza) != MK_MESSAGE || !body)
        return MK_CONTINUE;
    text = mk_str_dup(mk_node_text(body));
    a = mk_zalloc(sizeof(*a));
    *a = (struct asked){.t = t, .from = mk_jid_ref(mk_stanza_from(ev->stanza)), .to = mk_jid_ref(mk_stanza_to(ev->stanza))};
    if (strcmp(text, "reload") == 0) {
        t->cluster->reload(t->cluster->self, t->module, on_reloaded, a);
    } else if (strncmp(text, "end ", 4) == 0 && (a->wanted = mk_jid_parse(mk_str_of(text + 4)))) {
        t->sessions->each(t->sessions->self, a->wanted, end_one, a);
        if (!a->found)
            say(a, "nobody");
    } else {
        say(a, "what?");
    }
    mk_free(text);
    return MK_HANDLED;
}

static void
on_event(const char *event, const void *payload, void *arg)
{
    const struct mk_event_node *ev = payload;
    struct t *t = arg;

    mk_log(t->module, MK_LOG_INFO, "t.event", "event %s '%s'", event, ev->name);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    static const char *const events[] = {"node_joined", "node_left", "table_in_sync"};
    struct t *t = mk_zalloc(sizeof(*t));

    mk_module_set(m, t);
    t->module = m;
    t->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    t->cluster = mk_cluster_get(m);
    if (!t->sessions || !t->cluster)
        return -1;
    for (size_t i = 0; i < MK_COUNT(events); i++) {
        if (mk_subscribe(m, events[i], NULL, on_event, t) < 0)
            return -1;
    }
    return mk_on(m, host_in, MK_PRIO_NORMAL, on_host, t);
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "t_cluster", .version = "1.0", .summary = "a cluster's administrator for tests",
          .depends = (const char *const[]){"sessions", NULL}, .init = init, .unload = unload);
