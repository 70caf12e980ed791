/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The administrators of domains: table domain_admins, keys of SCRAM-SHA-512 in the form that MongooseIM writes
 * (==MULTI_SCRAM==,ITERATIONS,==SHA512==salt|stored key|server key).
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define BEGINNING "==MULTI_SCRAM==,"
#define PREFIX "==SHA512=="
#define ITERATIONS 10000
#define ITERATIONS_MAX 10000000
#define SALT_LEN 16

/* -- the text form ------------------------------------------------------------------------------ */

static void
print_key(struct mk_buf *out, const struct mk_scram_key *key)
{
    const unsigned char *parts[] = {key->salt, key->stored_key, key->server_key};
    size_t size = mk_digest_size(key->alg), lengths[] = {key->salt_len, size, size};

    mk_buf_printf(out, BEGINNING "%u," PREFIX, key->iterations);
    for (size_t i = 0; i < MK_COUNT(parts); i++) {
        if (i)
            mk_buf_add_byte(out, '|');
        mk_base64_encode(out, (struct mk_str){(const char *)parts[i], lengths[i]});
    }
}

/* Decodes up to the next '|' or ',' into `out`; false: it is malformed, or not `min` to `max` bytes. */
static bool
parse_part(const char **p, unsigned char *out, size_t min, size_t max, size_t *len_out)
{
    struct mk_buf bytes = {0};
    size_t len = strcspn(*p, "|,");
    bool ok = mk_base64_decode(&bytes, (struct mk_str){*p, len}) == 0 && bytes.len >= min && bytes.len <= max;

    if (ok)
        memcpy(out, bytes.data, bytes.len);
    if (len_out)
        *len_out = bytes.len;
    *p += len;
    *p += **p == '|';
    mk_buf_release(&bytes);
    return ok;
}

static int
parse_key(const char *text, struct mk_scram_key *key)
{
    size_t size = mk_digest_size(MK_SHA512);
    const char *p = text;
    unsigned long iterations;
    char *end;

    if (strncmp(p, BEGINNING, strlen(BEGINNING)) != 0 || !isdigit((unsigned char)p[strlen(BEGINNING)]))
        return -1;
    iterations = strtoul(p + strlen(BEGINNING), &end, 10);
    p = strstr(end, PREFIX);
    if (!p || *end != ',' || iterations == 0 || iterations > ITERATIONS_MAX)
        return -1;
    p += strlen(PREFIX);
    *key = (struct mk_scram_key){.alg = MK_SHA512, .iterations = (unsigned)iterations};
    return parse_part(&p, key->salt, 1, MK_SALT_MAX, &key->salt_len) &&
                   parse_part(&p, key->stored_key, size, size, NULL) &&
                   parse_part(&p, key->server_key, size, size, NULL) ? 0 : -1;
}

/* -- a password, while it takes a processor's time ------------------------------------------------ */

struct secret {
    struct domain *self;
    char *domain;
    struct mk_buf password;     /* SASLprep */
    struct mk_buf other;        /* resourceprep, as MongooseIM prepares it; empty: the same */
    struct mk_scram_key key;
    bool right;
    struct mk_gql_field *f;
    mk_gql_domain_admin_done_fn done;
    void *done_arg;
};

static void
secret_free(struct secret *s)
{
    if (s->password.data)
        mk_wipe(s->password.data, s->password.cap);
    if (s->other.data)
        mk_wipe(s->other.data, s->other.cap);
    mk_buf_release(&s->password);
    mk_buf_release(&s->other);
    mk_free(s->domain);
    mk_wipe(s, sizeof(*s));
    mk_free(s);
}

/* NULL: it cannot be a password. */
static struct secret *
secret_new(struct domain *self, const char *domain, const char *password)
{
    struct secret *s = mk_zalloc(sizeof(*s));

    s->self = self;
    s->domain = mk_strdup(domain);
    if (mk_prep_password(&s->password, mk_str_of(password)) < 0 || s->password.len == 0) {
        secret_free(s);
        return NULL;
    }
    if (mk_prep_resource(&s->other, mk_str_of(password)) < 0 ||
        mk_str_eq(mk_buf_str(&s->other), mk_buf_str(&s->password)))
        mk_buf_clear(&s->other);
    return s;
}

/* -- checking ------------------------------------------------------------------------------------- */

static bool
matches(const struct mk_scram_key *key, struct mk_str password)
{
    size_t size = mk_digest_size(key->alg);
    struct mk_scram_key mine = *key;
    bool same;

    mk_scram_derive(&mine, password);
    same = mk_str_eq_secret((struct mk_str){(const char *)mine.stored_key, size},
                            (struct mk_str){(const char *)key->stored_key, size});
    mk_wipe(&mine, sizeof(mine));
    return same;
}

static void
work_check(void *arg)
{
    struct secret *s = arg;

    s->right = matches(&s->key, mk_buf_str(&s->password)) ||
               (s->other.len && matches(&s->key, mk_buf_str(&s->other)));
}

static void
end_check(struct secret *s, enum mk_gql_domain_admin result)
{
    s->done(result, s->done_arg);
    secret_free(s);
}

static void
on_checked(void *arg)
{
    struct secret *s = arg;

    end_check(s, s->right ? MK_GQL_PASSWORD_RIGHT : MK_GQL_PASSWORD_WRONG);
}

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct secret *s = arg;
    const struct mk_rdbms *db = s->self->db;
    char *text;

    if (db->status(result) != MK_SQL_OK) {
        mk_log(s->self->module, MK_LOG_WARN, "domain.sql", "the administrator of '%s' was not read: %s", s->domain,
               db->status(result) == MK_SQL_ERROR ? db->error(result) : mk_sql_status_name(db->status(result)));
        end_check(s, MK_GQL_PASSWORD_UNKNOWN);
        return;
    }
    if (!db->next(result)) {
        end_check(s, MK_GQL_PASSWORD_WRONG);
        return;
    }
    text = mk_str_dup(db->get_text(result, 0));
    if (parse_key(text, &s->key) < 0) {
        mk_log(s->self->module, MK_LOG_ERROR, "domain.row", "pass_details of the administrator of '%s' cannot be read",
               s->domain);
        end_check(s, MK_GQL_PASSWORD_UNKNOWN);
    } else if (mk_offload(s->self->module, work_check, on_checked, s) < 0) {
        end_check(s, MK_GQL_PASSWORD_UNKNOWN);
    }
    mk_wipe(text, strlen(text));
    mk_free(text);
}

void
admins_check(const char *domain, const char *password, mk_gql_domain_admin_done_fn done, void *done_arg, void *arg)
{
    struct domain *self = arg;
    struct secret *s = mk_host_find(mk_str_of(domain)) ? secret_new(self, domain, password) : NULL;

    if (!s) {
        done(MK_GQL_PASSWORD_WRONG, done_arg);
        return;
    }
    s->done = done;
    s->done_arg = done_arg;
    mk_sql_exec(self->db, self->sql.admin, domain, on_selected, s, MK_SQL_V_CSTR(domain));
}

/* -- setting -------------------------------------------------------------------------------------- */

static void
on_stored(struct mk_sql_result *result, void *arg)
{
    struct secret *s = arg;

    if (s->self->db->status(result) == MK_SQL_OK) {
        mk_log(s->self->module, MK_LOG_INFO, "domain.password", "the administrator of '%s' has another password", s->domain);
        mk_gql_answer(s->f, json_string("Domain password set successfully"));
    } else {
        fail_sql(s->self, s->f, result);
    }
    secret_free(s);
}

static void
work_derive(void *arg)
{
    struct secret *s = arg;

    s->key = (struct mk_scram_key){.alg = MK_SHA512, .iterations = ITERATIONS, .salt_len = SALT_LEN};
    mk_random(s->key.salt, SALT_LEN);
    mk_scram_derive(&s->key, mk_buf_str(&s->password));
}

static void
on_derived(void *arg)
{
    struct secret *s = arg;
    const struct mk_rdbms *db = s->self->db;
    struct mk_buf text = {0};

    print_key(&text, &s->key);
    mk_sql_exec(db, s->self->sql.set_admin, s->domain, on_stored, s, MK_SQL_V_CSTR(s->domain),
                MK_SQL_V_TEXT(mk_buf_str(&text)));
    mk_wipe(text.data, text.len);
    mk_buf_release(&text);
}

void
admins_set_password(struct mk_gql_field *f, void *arg)
{
    const char *domain = mk_gql_string(f, "domain");
    struct domain *self = arg;
    struct secret *s;

    if (!mk_host_find(mk_str_of(domain))) {
        fail_domain(f, "not_found", "Given domain does not exist or is disabled");
        return;
    }
    s = secret_new(self, domain, mk_gql_string(f, "password"));
    if (!s) {
        fail_domain(f, "invalid_password", "This cannot be a password");
        return;
    }
    s->f = f;
    if (mk_offload(self->module, work_derive, on_derived, s) < 0) {
        fail_domain(f, "busy", "Too much is under way: try again");
        secret_free(s);
    }
}

struct deleting {
    struct domain *self;
    struct mk_gql_field *f;
};

static void
on_deleted(struct mk_sql_result *result, void *arg)
{
    struct deleting d = *(struct deleting *)arg;

    mk_free(arg);
    if (d.self->db->status(result) != MK_SQL_OK) {
        fail_sql(d.self, d.f, result);
    } else if (d.self->db->affected(result) == 0) {
        fail_domain(d.f, "not_found", "Domain password does not exist");
    } else {
        mk_log(d.self->module, MK_LOG_INFO, "domain.password", "domain '%s' has no administrator any more",
               mk_gql_string(d.f, "domain"));
        mk_gql_answer(d.f, json_string("Domain password deleted successfully"));
    }
}

void
admins_delete_password(struct mk_gql_field *f, void *arg)
{
    const char *domain = mk_gql_string(f, "domain");
    struct domain *self = arg;
    struct deleting *d = mk_alloc(sizeof(*d));

    *d = (struct deleting){self, f};
    mk_sql_exec(self->db, self->sql.remove_admin, domain, on_deleted, d, MK_SQL_V_CSTR(domain));
}
