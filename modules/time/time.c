/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Entity time (XEP-0202) of the server. */
#include <meerkat/meerkat.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static enum mk_verdict
on_query(struct mk_iq *iq, void *arg)
{
    struct mk_xml *x = mk_xml_new(NULL);
    char utc[MK_TIME_TEXT_MAX], zone[16];
    int64_t now = mk_time_us();
    time_t seconds = (time_t)(now / 1000000);
    struct tm local;
    long minutes;

    (void)arg;
    localtime_r(&seconds, &local);
    minutes = local.tm_gmtoff / 60;
    snprintf(zone, sizeof(zone), "%c%02ld:%02ld", minutes < 0 ? '-' : '+', labs(minutes) / 60 % 100,
             labs(minutes) % 60);
    mk_time_text(now, utc);
    mk_xml_open(x, "time", "urn:xmpp:time");
    mk_xml_leaf(x, "tzo", NULL, mk_str_of(zone));
    mk_xml_leaf(x, "utc", NULL, mk_str_of(utc));
    mk_iq_reply_result(iq, x);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    return mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, "urn:xmpp:time", "time", on_query, NULL);
}

MK_MODULE(.name = "time", .version = "1.0", .summary = "XEP-0202: the server's time", .init = init);
