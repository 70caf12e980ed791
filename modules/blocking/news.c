/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Lists that change on one node are given to all others, as lines: the account, then whom it has blocked. */
#include "internal.h"

#define JIDS_MAX 100000u

static struct mk_str
line(struct mk_str *text)
{
    const char *end = memchr(text->p, '\n', text->len);
    struct mk_str s = {text->p, end ? (size_t)(end - text->p) : text->len};

    text->p += s.len + (end != NULL);
    text->len -= s.len + (end != NULL);
    return s;
}

static void
on_news(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct blocking *b = arg;
    struct mk_jid *account = mk_jid_parse(line(&data));
    struct mk_str *jids = NULL;
    struct list *list;
    size_t count = 0;

    (void)node;
    while (data.len && count < JIDS_MAX) {
        if ((count & (count - 1)) == 0)
            jids = mk_realloc(jids, (count ? 2 * count : 1) * sizeof(*jids));
        jids[count++] = line(&data);
    }
    if (account) {
        list = list_new(jids, count);
        list_publish(b, account, list);
        list_unref(&list);
    }
    mk_free(jids);
    mk_jid_unref(&account);
    b->cluster->answer(call, (struct mk_str){0});
}

void
news_send(struct blocking *b, const struct mk_jid *account, const struct list *list,
          mk_cluster_done_fn done, void *arg)
{
    struct mk_buf text = {0};

    mk_buf_add_str(&text, mk_jid_bare(account));
    for (size_t i = 0; i < list->count; i++) {
        mk_buf_add_byte(&text, '\n');
        mk_buf_add_str(&text, list->jids[i]);
    }
    b->cluster->send_all(b->news, mk_buf_str(&text), done, arg);
    mk_buf_release(&text);
}

int
news_init(struct blocking *b, struct mk_error *err)
{
    b->cluster = mk_cluster_get(b->module);
    if (!b->cluster)
        return 0;
    b->news = b->cluster->channel(b->cluster->self, b->module, "blocking", on_news, b, err);
    return b->news ? 0 : -1;
}
