/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What libpq is told: the parameters of a connection, and statements with $n for `?`. */
#include "config.h"

#include "priv.h"

static const char *const sslmodes[] = {"disable", "prefer", "require", "verify-ca", "verify-full"};

static void
add(struct pgsql *p, const char *keyword, const char *value)
{
    if (!value || !*value)
        return;
    MK_ASSERT(p->param_count < PARAMS_MAX - 1);
    p->keywords[p->param_count] = keyword;
    p->values[p->param_count++] = mk_strdup(value);
}

static void
add_int(struct pgsql *p, const char *keyword, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    add(p, keyword, text);
}

void
params_make(struct pgsql *p, const struct pgsql_conf *conf)
{
    add(p, "host", conf->host);
    add_int(p, "port", conf->port);
    add(p, "user", conf->user);
    add(p, "password", conf->password);
    add(p, "dbname", conf->database);
    add(p, "sslmode", sslmodes[conf->sslmode]);
    add(p, "sslrootcert", conf->sslrootcert);
    add(p, "sslcert", conf->sslcert);
    add(p, "sslkey", conf->sslkey);
    add(p, "application_name", "meerkat");
    add(p, "client_encoding", "UTF8");
    /* After a failover the old primary may still take connections. */
    add(p, "target_session_attrs", "read-write");
    /* A server that is gone without a word is noticed. */
    add(p, "keepalives_idle", "30");
    add(p, "keepalives_interval", "5");
    add(p, "keepalives_count", "3");
    add(p, "tcp_user_timeout", "15000");
}

void
params_free(struct pgsql *p)
{
    for (size_t i = 0; i < p->param_count; i++) {
        mk_wipe(p->values[i], strlen(p->values[i]));
        mk_free(p->values[i]);
    }
}

/* -- statements ------------------------------------------------------------------------------ */

static char *
number_params(const char *sql)
{
    struct mk_buf out = {0};
    size_t from = 0;

    for (unsigned n = 1;; n++) {
        size_t at = mk_sql_next_param(sql, from);

        mk_buf_add(&out, sql + from, at - from);
        if (!sql[at])
            return mk_buf_take(&out);
        mk_buf_printf(&out, "$%u", n);
        from = at + 1;
    }
}

static struct pg_text *
text_new(const struct mk_sql_text *text)
{
    struct pg_text *t = mk_zalloc(sizeof(*t));

    snprintf(t->name, sizeof(t->name), "s%u", text->id);
    t->sql = number_params(text->sql);
    return t;
}

static void
text_free(struct pg_text *t)
{
    mk_free(t->sql);
    mk_free(t);
}

/* The texts are freed when the driver goes: rdbms keeps its own as long as that. */
static void
remember(struct pgsql *p, struct pg_text *t)
{
    t->next = __atomic_load_n(&p->texts, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&p->texts, &t->next, t, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
}

const struct pg_text *
text_of(struct pgsql *p, struct mk_sql_text *text)
{
    uintptr_t known = __atomic_load_n(&text->driver, __ATOMIC_ACQUIRE);
    struct pg_text *t;

    if (known)
        return (const struct pg_text *)known;
    t = text_new(text);
    /* Another worker may have been faster. */
    if (!__atomic_compare_exchange_n(&text->driver, &known, (uintptr_t)t, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        text_free(t);
        return (const struct pg_text *)known;
    }
    remember(p, t);
    return t;
}

void
texts_free(struct pgsql *p)
{
    while (p->texts) {
        struct pg_text *t = p->texts;

        p->texts = t->next;
        text_free(t);
    }
}
