/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Ending a resource wherever it is. */
#include "internal.h"

struct ending {
    struct router *router;
    mk_session_id session;
    char *condition, *text;         /* text NULL: none */
    struct mk_cluster_call *call;   /* of another node; NULL: asked here */
    struct mk_worker *back;
    void (*done)(bool found, void *arg);
    void *arg;
    bool found;
};

static void
ending_free(struct ending *e)
{
    mk_free(e->condition);
    mk_free(e->text);
    mk_free(e);
}

static void
tell(void *arg)
{
    struct ending *e = arg;

    if (e->done)
        e->done(e->found, e->arg);
    ending_free(e);
}

/* On the session's worker. */
static void
end_session(struct mk_session *s, void *arg)
{
    struct ending *e = arg;
    struct router *router = e->router;

    e->found = s != NULL;
    if (s)
        mk_session_close(s, e->condition, e->text);
    if (!e->call) {
        mk_post(router->module, e->back, tell, e);
        return;
    }
    router->cluster->answer(e->call, e->found ? MK_STR("1") : (struct mk_str){0});
    ending_free(e);
}

/* -- of another node -------------------------------------------------------------------------- */

static void
on_answer(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    struct ending *e = arg;

    e->found = result == MK_CLUSTER_ANSWERED && answer.len;
    tell(e);
}

static void
ask_other(struct ending *e, const struct mk_resource *r)
{
    struct router *router = e->router;
    struct mk_buf data = {0};

    mk_buf_add(&data, &r->there, sizeof(r->there));
    mk_buf_add(&data, e->condition, strlen(e->condition) + 1);
    if (e->text)
        mk_buf_add_str(&data, mk_str_of(e->text));
    router->cluster->send(router->endings, r->node, mk_buf_str(&data), on_answer, e);
    mk_buf_release(&data);
}

/* The session's id, the condition with its NUL, and the text to the end. */
static void
on_request(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct router *router = arg;
    size_t head = sizeof(mk_session_id), len;
    struct ending *e;

    (void)node;
    if (data.len <= head || !memchr(data.p + head, '\0', data.len - head)) {
        router->cluster->answer(call, (struct mk_str){0});
        return;
    }
    e = mk_zalloc(sizeof(*e));
    e->router = router;
    e->call = call;
    memcpy(&e->session, data.p, head);
    len = strlen(data.p + head);
    e->condition = mk_strdup(data.p + head);
    if (data.len > head + len + 1)
        e->text = mk_str_dup((struct mk_str){data.p + head + len + 1, data.len - head - len - 1});
    mk_session_post(router->module, e->session, end_session, e);
}

void
router_end(void *self, const struct mk_resource *r, const char *condition, const char *text,
           void (*done)(bool found, void *arg), void *arg)
{
    struct ending *e = mk_alloc(sizeof(*e));

    *e = (struct ending){.router = self, .session = r->there, .condition = mk_strdup(condition), .text = mk_strdup(text),
                         .back = mk_worker_self(), .done = done, .arg = arg};
    if (r->node)
        ask_other(e, r);
    else
        mk_session_post(e->router->module, e->session, end_session, e);
}

int
router_end_init(struct router *router, struct mk_error *err)
{
    router->endings = router->cluster->channel(router->cluster->self, router->module, "end", on_request, router, err);
    return router->endings ? 0 : -1;
}
