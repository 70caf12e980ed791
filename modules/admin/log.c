/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category log: the last lines of this node's log. */
#include "config.h"

#include "internal.h"

#define KEPT 512                /* more are never there */

static const char sdl[] =
    "extend type AdminQuery { \"The log of this node\" log: LogAdminQuery }\n"
    "\"A line of the log\"\n"
    "type LogLine {\n"
    "  \"Counts up: where to go on the next time\" number: Int!\n"
    "  time: DateTime!\n"
    "  level: LogLevel!\n"
    "  module: String\n"
    "  \"What scripts may rely on\" event: String\n"
    "  text: String\n"
    "  jid: String\n"
    "  peer: String\n"
    "}\n"
    "\"The log of this node\"\n"
    "type LogAdminQuery @protected {\n"
    "  \"The last lines, oldest first; a few hundred are kept\"\n"
    "  tail(\"Only those behind this number\" after: NonNegInt = 0, \"At most so many\" limit: PosInt = 100,\n"
    "      \"Only this level and above\" level: LogLevel = ALL, \"Only of this module\" module: String): [LogLine!]\n"
    "    @protected(type: GLOBAL)\n"
    "}\n";

static const char *const names[] = {
    [MK_LOG_DEBUG] = "DEBUG", [MK_LOG_INFO] = "INFO", [MK_LOG_WARN] = "WARNING", [MK_LOG_ERROR] = "ERROR"};

struct tail {
    json_t *lines;
    enum mk_log_level level;
    const char *module;
};

static void
add_line(const struct mk_log_line *line, void *arg)
{
    struct tail *t = arg;
    char time[MK_TIME_TEXT_MAX];
    json_t *o;

    if (line->level < t->level || (t->module && (!line->module || strcmp(line->module, t->module) != 0)))
        return;
    mk_time_text(line->when, time);
    o = json_pack("{s:I,s:s,s:s,s:s?,s:s?,s:s?,s:s?,s:s?}", "number", (json_int_t)line->number, "time", time, "level",
                  names[line->level], "module", line->module, "event", line->event, "text", line->text, "jid",
                  line->jid, "peer", line->peer);
    /* A text that is not UTF-8 cannot be told. */
    if (o)
        json_array_append_new(t->lines, o);
}

static enum mk_log_level
level_of(const char *name)
{
    if (strcmp(name, "ALL") == 0 || strcmp(name, "DEBUG") == 0)
        return MK_LOG_DEBUG;
    if (strcmp(name, "INFO") == 0)
        return MK_LOG_INFO;
    if (strcmp(name, "NOTICE") == 0 || strcmp(name, "WARNING") == 0)
        return MK_LOG_WARN;
    return MK_LOG_ERROR;
}

static void
tail(struct mk_gql_field *f, void *arg)
{
    const char *level = mk_gql_string(f, "level");
    struct tail t = {json_array(), level_of(level ? level : "ALL"), mk_gql_string(f, "module")};
    int64_t limit = mk_gql_int(f, "limit", 100);

    (void)arg;
    mk_log_tail((uint64_t)mk_gql_int(f, "after", 0), KEPT, add_line, &t);
    while ((int64_t)json_array_size(t.lines) > limit)
        json_array_remove(t.lines, 0);
    mk_gql_answer(f, t.lines);
}

static const struct mk_gql_resolver resolvers[] = {{"LogAdminQuery", "tail", tail}, {0}};

int
log_category(struct admin *a, struct mk_error *err)
{
    return a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, sdl, resolvers, a, err);
}
