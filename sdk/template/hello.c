/* SPDX-License-Identifier: Apache-2.0 */
/* A module to start from: who asks <hello xmlns='urn:example:hello'/> is greeted. */
#include <meerkat/meerkat.h>

#define NS_HELLO "urn:example:hello"

/* What the administrator can set in section [hello]; the core fills it in before init runs. */
struct hello_conf {
    char *greeting;
};

static const struct mk_option options[] = {
    MK_OPTION_STRING(struct hello_conf, greeting, "Hello", MK_OPT_RELOADABLE,
                     "the word that comes before the name"),
    MK_OPTION_END};

/* What the module itself remembers; made in init, freed in unload. */
struct hello {
    struct mk_module *module;
    struct mk_counter greetings;
};

/* Runs on the worker of whoever asks; any number of workers may be in here at once. */
static enum mk_verdict
on_hello(struct mk_iq *iq, void *arg)
{
    struct hello *self = arg;
    const struct hello_conf *conf = mk_module_conf(self->module, mk_iq_host(iq));
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "hello", NS_HELLO);
    mk_xml_text(x, mk_str_of(conf->greeting));
    mk_xml_text(x, MK_STR(", "));
    mk_xml_text(x, mk_jid_local(mk_iq_from(iq)));
    mk_xml_close(x);
    mk_iq_reply_result(iq, x);
    mk_counter_add(self->greetings, 1);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct hello *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->greetings = mk_counter_new(m, "hello_greetings_total", NULL, "People who were greeted");
    if (mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, NS_HELLO, "hello", on_hello, self) < 0)
        return mk_fail(err, "the handler could not be registered");
    return 0;
}

/* The core has taken back what init registered: nobody can call us any more. */
static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "hello", .version = "1.0", .summary = "greets who asks for it",
          .options = options, .conf_size = sizeof(struct hello_conf), .init = init,
          .unload = unload);
