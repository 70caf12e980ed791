/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Software version (XEP-0092). */
#include <meerkat/meerkat.h>

#include <sys/utsname.h>

struct version_conf {
    bool show_os;
};

static const struct mk_option options[] = {
    MK_OPTION_BOOL(struct version_conf, show_os, "no", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "tell name and release of the operating system as well"),
    MK_OPTION_END};

static enum mk_verdict
on_query(struct mk_iq *iq, void *arg)
{
    const struct version_conf *conf = mk_module_conf(arg, mk_iq_host(iq));
    struct mk_xml *x = mk_xml_new(NULL);
    struct utsname os;

    mk_xml_open(x, "query", "jabber:iq:version");
    mk_xml_leaf(x, "name", NULL, MK_STR("Meerkat"));
    mk_xml_leaf(x, "version", NULL, mk_str_of(mk_server_version()));
    if (conf->show_os && uname(&os) == 0) {
        mk_xml_open(x, "os", NULL);
        mk_xml_text(x, mk_str_of(os.sysname));
        mk_xml_text(x, MK_STR(" "));
        mk_xml_text(x, mk_str_of(os.release));
        mk_xml_close(x);
    }
    mk_iq_reply_result(iq, x);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    return mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, "jabber:iq:version", "query", on_query, m);
}

MK_MODULE(.name = "version", .version = "1.0", .summary = "XEP-0092: name and version of the server",
          .options = options, .conf_size = sizeof(struct version_conf), .init = init);
