/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * The result as one JSON object.  Fields are documented in README.md; what was not measured is
 * null, so a reader need not guess.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "bench.h"

#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

struct json {
    FILE *f;
    int depth;
    bool comma;
};

static void
put_string(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', f);
        if ((unsigned char)*s < 0x20)
            fprintf(f, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void
put_key(struct json *j, const char *key)
{
    if (j->comma)
        fputc(',', j->f);
    fprintf(j->f, "\n%*s", 2 * j->depth, "");
    if (key != NULL) {
        put_string(j->f, key);
        fputs(": ", j->f);
    }
    j->comma = true;
}

static void
open_object(struct json *j, const char *key, char bracket)
{
    if (j->depth > 0)
        put_key(j, key);
    fputc(bracket, j->f);
    j->depth++;
    j->comma = false;
}

static void
close_object(struct json *j, char bracket)
{
    j->depth--;
    if (j->comma)
        fprintf(j->f, "\n%*s", 2 * j->depth, "");
    fputc(bracket, j->f);
    j->comma = true;
}

static void
put_text(struct json *j, const char *key, const char *value)
{
    put_key(j, key);
    put_string(j->f, value);
}

static void
put_count(struct json *j, const char *key, uint64_t value)
{
    put_key(j, key);
    fprintf(j->f, "%llu", (unsigned long long)value);
}

static void
put_number(struct json *j, const char *key, bool known, double value)
{
    put_key(j, key);
    if (known)
        fprintf(j->f, "%.3f", value);
    else
        fputs("null", j->f);
}

static void
put_bool(struct json *j, const char *key, bool value)
{
    put_key(j, key);
    fputs(value ? "true" : "false", j->f);
}

static void
put_latency(struct json *j, const char *key, const struct hist *h)
{
    open_object(j, key, '{');
    put_count(j, "count", h->count);
    put_number(j, "p50", h->count > 0, (double)hist_percentile(h, 50) / 1000);
    put_number(j, "p90", h->count > 0, (double)hist_percentile(h, 90) / 1000);
    put_number(j, "p99", h->count > 0, (double)hist_percentile(h, 99) / 1000);
    put_number(j, "p99_9", h->count > 0, (double)hist_percentile(h, 99.9) / 1000);
    put_number(j, "max", h->count > 0, (double)h->max / 1000);
    close_object(j, '}');
}

static void
put_parameters(struct json *j, const struct options *o)
{
    open_object(j, "parameters", '{');
    open_object(j, "hosts", '[');
    for (unsigned i = 0; i < o->ntargets; i++)
        put_text(j, NULL, o->targets[i].name);
    close_object(j, ']');
    put_text(j, "domain", o->domain);
    put_text(j, "user", o->user);
    put_count(j, "first", o->first);
    put_text(j, "tls", tls_mode_name(o->tls));
    put_text(j, "mechanism", mechanism_name(o->mechanism));
    put_count(j, "sessions", o->sessions);
    put_count(j, "contacts", o->contacts);
    put_text(j, "via", via_name(o->via));
    put_text(j, "to", o->to_bare ? "bare" : "full");
    put_bool(j, "same_node", o->same_node);
    put_bool(j, "batch", o->batch);
    put_count(j, "window", o->window);
    put_count(j, "body_bytes", o->body);
    put_number(j, "rate_limit", o->rate > 0, o->rate);
    put_number(j, "duration_s", true, o->duration);
    put_number(j, "warmup_s", true, o->warmup);
    put_number(j, "timeout_s", true, o->timeout);
    put_number(j, "message_limit", o->messages > 0, (double)o->messages);
    put_count(j, "parallel", o->parallel);
    put_count(j, "sources", o->sources);
    put_bool(j, "sm", o->sm_every > 0);
    put_count(j, "sm_every", o->sm_every);
    put_bool(j, "register", o->do_register);
    open_object(j, "server_pids", '[');
    for (unsigned i = 0; i < o->npids; i++)
        put_count(j, NULL, (uint64_t)o->pids[i]);
    close_object(j, ']');
    close_object(j, '}');
}

static void
put_errors(struct json *j, const struct result *r)
{
    uint64_t total = 0;

    open_object(j, "errors", '{');
    for (int i = 0; i < ERR_COUNT; i++) {
        put_count(j, bench_error_name((enum bench_error)i), r->errors[i]);
        total += r->errors[i];
    }
    put_count(j, "total", total);
    close_object(j, '}');
    open_object(j, "first_errors", '{');
    for (int i = 0; i < ERR_COUNT; i++)
        if (r->errors[i] > 0)
            put_text(j, bench_error_name((enum bench_error)i), r->first_error[i]);
    close_object(j, '}');
}

static void
put_memory(struct json *j, const struct options *o, const struct result *r)
{
    const struct memory *m = r->connected.known ? &r->connected : &r->end;
    bool per_session;

    if (o->scenario == &scenario_idle)
        m = &r->end;
    per_session = r->before.known && m->known && r->online > 0 && !o->scenario->storm;
    open_object(j, "memory", '{');
    put_number(j, "before_pss_kb", r->before.known, (double)r->before.pss);
    put_number(j, "before_rss_kb", r->before.known, (double)r->before.rss);
    put_number(j, "connected_pss_kb", r->connected.known, (double)r->connected.pss);
    put_number(j, "connected_rss_kb", r->connected.known, (double)r->connected.rss);
    put_number(j, "end_pss_kb", r->end.known, (double)r->end.pss);
    put_number(j, "end_rss_kb", r->end.known, (double)r->end.rss);
    put_number(j, "kb_per_session", per_session,
               ((double)m->pss - (double)r->before.pss) / r->online);
    put_number(j, "rss_kb_per_session", per_session,
               ((double)m->rss - (double)r->before.rss) / r->online);
    close_object(j, '}');
}

static void
put_sm(struct json *j, const struct options *o, const struct result *r)
{
    const struct tally *t = &r->whole;

    if (o->sm_every == 0)
        return;
    open_object(j, "sm", '{');
    put_count(j, "r_sent", t->sm_r_sent);
    put_count(j, "a_received", t->sm_a_received);
    put_count(j, "r_received", t->sm_r_received);
    put_count(j, "a_sent", t->sm_a_sent);
    put_count(j, "unacked", t->sm_unacked);
    put_latency(j, "acked_us", &r->acked);
    close_object(j, '}');
}

static void
put_result(struct json *j, const char *key, const struct options *o, const struct result *r)
{
    bool some = r->measured && r->received > 0;
    const struct tally *t = &r->whole;

    open_object(j, key, '{');
    put_bool(j, "measured", r->measured);
    put_bool(j, "cut_short", r->cut_short);
    put_number(j, "duration_s", true, r->seconds);
    put_count(j, "sent", r->sent);
    put_count(j, "received", r->received);
    put_number(j, "rate", r->seconds > 0, r->seconds > 0 ? (double)r->received / r->seconds : 0);
    put_latency(j, "latency_us", &r->latency);
    put_number(j, "cpu_us_per_message", r->cpu_known && some,
               some ? (double)r->cpu_ns / 1000 / (double)r->received : 0);
    put_number(j, "cpu_s", r->cpu_known, (double)r->cpu_ns / 1e9);
    put_number(j, "cpu_percent", r->cpu_known && r->seconds > 0,
               r->seconds > 0 ? (double)r->cpu_ns / 1e7 / r->seconds : 0);
    put_number(j, "generator_cpu_s", true, (double)r->own_cpu_ns / 1e9);
    put_memory(j, o, r);
    open_object(j, "whole_run", '{');
    put_count(j, "sent", t->sent);
    put_count(j, "due", t->due);
    put_count(j, "received", t->received);
    put_count(j, "lost", t->due > t->received ? t->due - t->received : 0);
    put_count(j, "disordered", t->disordered);
    put_count(j, "strange", t->strange);
    close_object(j, '}');
    open_object(j, "sessions", '{');
    put_count(j, "online", r->online);
    put_count(j, "failed", r->failed);
    put_count(j, "dropped", r->dropped);
    put_count(j, "registered", r->registered);
    put_count(j, "existed", r->existed);
    close_object(j, '}');
    if (!o->scenario->storm) {
        open_object(j, "connect", '{');
        put_number(j, "seconds", true, r->connect_seconds);
        put_number(j, "cpu_us_per_login", r->cpu_known && r->online > 0,
                   r->online > 0 ? (double)r->connect_cpu_ns / 1000 / r->online : 0);
        put_latency(j, "latency_us", &r->connect);
        close_object(j, '}');
    }
    put_sm(j, o, r);
    put_errors(j, r);
    close_object(j, '}');
}

void
report_print(FILE *f, const struct options *o, const struct result *real,
             const struct result *floor_result, bool interrupted)
{
    struct json j = {.f = f};
    bool both = real->measured && floor_result->measured && real->cpu_known &&
                floor_result->cpu_known && real->received > 0 && floor_result->received > 0 &&
                floor_result->cpu_ns > 0;

    open_object(&j, NULL, '{');
    put_text(&j, "program", "meerkat-bench");
    put_text(&j, "version", PACKAGE_VERSION);
    put_text(&j, "scenario", o->scenario->name);
    put_text(&j, "message", o->scenario->unit);
    put_bool(&j, "interrupted", interrupted);
    put_parameters(&j, o);
    if (real->used)
        put_result(&j, "result", o, real);
    if (floor_result->used)
        put_result(&j, "floor", o, floor_result);
    if (real->used && floor_result->used)
        put_number(&j, "cpu_times_floor", both,
                   both ? ((double)real->cpu_ns / (double)real->received) /
                              ((double)floor_result->cpu_ns / (double)floor_result->received)
                        : 0);
    close_object(&j, '}');
    fputc('\n', f);
}
