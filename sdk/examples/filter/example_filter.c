/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A filter: messages that this server's users send are refused when they are too long or have a word in them
 * that is on a list. Shows options of several types, a check of what no option can say alone, a
 * configuration that is read anew for each message (so a reload is in force at once), and metrics.
 */
#include <strings.h>

#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>

#define WORD_MAX 64

struct filter_conf {
    struct mk_option_list words;
    uint64_t max_body;
    int action;
    char *text;
};

enum { ACTION_REFUSE, ACTION_DROP };
static const char *const actions[] = {"refuse", "drop", NULL};

/* PER_HOST: [example_filter@example.org] may say something else for that host. */
#define FLAGS (MK_OPT_RELOADABLE | MK_OPT_PER_HOST)
static const struct mk_option options[] = {
    MK_OPTION_LIST(struct filter_conf, words, "", FLAGS,
                   "words that no message may have; letters of ASCII in either case"),
    MK_OPTION_SIZE(struct filter_conf, max_body, "0", "0", "1M", FLAGS,
                   "bytes that the text of a message may have; 0: any number"),
    MK_OPTION_ENUM(struct filter_conf, action, "refuse", actions, FLAGS,
                   "refuse: the sender gets an error; drop: nobody learns of it"),
    MK_OPTION_STRING(struct filter_conf, text, "this message is not allowed here", FLAGS,
                     "what the error says"),
    MK_OPTION_END};

struct filter {
    struct mk_module *module;
    struct mk_counter by_word, by_length;
};

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c & 0x80);
}

static bool
is_listed(const struct mk_option_list *words, struct mk_str word)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strlen(words->items[i]) == word.len &&
            strncasecmp(words->items[i], word.p, word.len) == 0)
            return true;
    }
    return false;
}

static bool
has_listed_word(const struct mk_option_list *words, struct mk_str text)
{
    for (size_t at = 0; at < text.len;) {
        struct mk_str word;

        while (at < text.len && !is_letter(text.p[at]))
            at++;
        word = (struct mk_str){text.p + at, 0};
        while (at < text.len && is_letter(text.p[at]))
            at++;
        word.len = (size_t)(text.p + at - word.p);
        if (word.len && word.len <= WORD_MAX && is_listed(words, word))
            return true;
    }
    return false;
}

/* The counter of the rule that a text breaks, or NULL. */
static const struct mk_counter *
judge(const struct filter *self, const struct filter_conf *conf, struct mk_str text)
{
    if (conf->max_body && text.len > conf->max_body)
        return &self->by_length;
    if (conf->words.count && has_listed_word(&conf->words, text))
        return &self->by_word;
    return NULL;
}

static enum mk_verdict
on_message(struct mk_ev_user *ev, void *arg)
{
    struct filter *self = arg;
    const struct filter_conf *conf = mk_module_conf(self->module, mk_session_host(ev->session));
    const struct mk_counter *broken = NULL;
    const struct mk_node *body;

    /* Nothing to look for: do not have the tree of the children built. Errors must not be answered. */
    if ((!conf->max_body && !conf->words.count) || mk_stanza_type(ev->stanza) == MK_TYPE_ERROR)
        return MK_CONTINUE;
    /* A message may have several texts, each in another language. */
    body = mk_stanza_child(ev->stanza, "body", MK_NS_CLIENT);
    for (; body && !broken; body = mk_node_next(body, "body", MK_NS_CLIENT))
        broken = judge(self, conf, mk_node_text(body));
    if (!broken)
        return MK_CONTINUE;
    mk_counter_add(*broken, 1);
    if (conf->action == ACTION_DROP)
        return MK_HANDLED;
    ev->error = MK_ERR_POLICY_VIOLATION;
    ev->text = conf->text;
    return MK_DENY;
}

/* Called for each new configuration before it is used: a bad one is refused and the old one stays. */
static int
check(const void *data, const char *host, struct mk_error *err)
{
    const struct filter_conf *conf = data;

    (void)host;
    for (size_t i = 0; i < conf->words.count; i++) {
        const char *word = conf->words.items[i];

        if (strlen(word) > WORD_MAX)
            return mk_fail(err, "'words': '%s' has more than %d bytes", word, WORD_MAX);
        for (const char *c = word; *c; c++) {
            if (!is_letter(*c))
                return mk_fail(err, "'words': '%s' is not one word", word);
        }
    }
    return 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct filter *self = mk_zalloc(sizeof(*self));
    const char *help = "Messages that the filter stopped";

    mk_module_set(m, self);
    self->module = m;
    self->by_word = mk_counter_new(m, "example_filter_stopped_total", "rule=\"word\"", help);
    self->by_length = mk_counter_new(m, "example_filter_stopped_total", "rule=\"length\"", help);
    if (mk_on(m, user_send_message, MK_PRIO_EARLY, on_message, self) < 0)
        return mk_fail(err, "the handler could not be registered");
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "example_filter", .version = "1.0",
          .summary = "refuses messages that are too long or have certain words",
          .depends = (const char *const[]){"c2s", NULL}, .options = options,
          .conf_size = sizeof(struct filter_conf), .check = check, .init = init, .unload = unload);
