/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refuses messages whose body has one of the configured words. Shows options that a reload changes, a filter
 * hook, an error answer, and a metric.
 */
#include <string.h>

#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>

struct filter_conf {
    struct mk_option_list words;
    bool count_only;
};

static const struct mk_option options[] = {
    MK_OPTION_LIST(struct filter_conf, words, "", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "words that no message may have"),
    MK_OPTION_BOOL(struct filter_conf, count_only, "no", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "let them pass, and count them"),
    MK_OPTION_END};

struct filter {
    struct mk_module *module;
    struct mk_counter found;
};

static bool
has_word(struct mk_str body, const struct filter_conf *conf)
{
    for (size_t i = 0; i < conf->words.count; i++) {
        const char *word = conf->words.items[i];

        if (memmem(body.p, body.len, word, strlen(word)))
            return true;
    }
    return false;
}

/* A client sends a message; it has not been routed yet. */
static enum mk_verdict
on_message(struct mk_ev_user *ev, void *arg)
{
    struct filter *f = arg;
    const struct filter_conf *conf = mk_module_conf(f->module, mk_session_host(ev->session));
    const struct mk_node *body;

    /* The tree is built only when there is something to look for. */
    if (conf->words.count == 0 || !(body = mk_stanza_child(ev->stanza, "body", MK_NS_CLIENT)) ||
        !has_word(mk_node_text(body), conf))
        return MK_CONTINUE;
    mk_counter_add(f->found, 1);
    if (conf->count_only)
        return MK_CONTINUE;
    ev->error = MK_ERR_POLICY_VIOLATION;
    ev->text = "this word is not allowed here";
    return MK_DENY;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct filter *f = mk_zalloc(sizeof(*f));

    mk_module_set(m, f);
    f->module = m;
    f->found = mk_counter_new(m, "filter_example_words_total", NULL, "Messages with a filtered word");
    if (mk_on(m, user_send_message, MK_PRIO_NORMAL, on_message, f) < 0)
        return mk_fail(err, "the handler could not be registered");
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "filter_example", .version = "1.0", .summary = "Example: refuses messages with some words",
          .depends = (const char *const[]){"c2s", NULL}, .options = options,
          .conf_size = sizeof(struct filter_conf), .init = init, .unload = unload);
