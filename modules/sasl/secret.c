/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The secret from which the salts of accounts that do not exist are made. They must stay the same
 * over restarts and on all nodes, or asking twice would tell who exists. So it comes from the
 * configuration, or else from the database, where the first node puts it; without either it lives
 * as long as the process.
 */
#include "config.h"

#include "internal.h"

#define RETRY_MS 5000

MK_SQL_FILE(sasl_001, "001_secret.sql");

static const struct mk_sql_migration migrations[] = {{1, sasl_001}, {0, NULL}};

static void ask_database(void *arg);

static void
wipe_secret(void *secret)
{
    mk_wipe(secret, SECRET_LEN);
    mk_free(secret);
}

/* Takes `fresh`; readers may still hold the old one. */
static void
publish(struct sasl *sasl, unsigned char *fresh)
{
    unsigned char *old = __atomic_exchange_n(&sasl->secret, fresh, __ATOMIC_ACQ_REL);

    if (old)
        mk_rcu_defer(wipe_secret, old);
}

static void
again_later(struct sasl *sasl)
{
    /* The core owns the timer; it fires once or goes with the module. */
    struct mk_timer *timer = mk_timer_new(sasl->module, RETRY_MS, ask_database, sasl);

    (void)timer;
}

static void
on_secret(struct mk_sql_result *result, void *arg)
{
    struct sasl *sasl = arg;
    struct mk_buf raw = {0};

    if (sasl->db->status(result) != MK_SQL_OK || !sasl->db->next(result)) {
        again_later(sasl);
        return;
    }
    if (mk_base64_decode(&raw, sasl->db->get_text(result, 0)) == 0 && raw.len == SECRET_LEN) {
        unsigned char *fresh = mk_alloc(SECRET_LEN);

        memcpy(fresh, raw.data, SECRET_LEN);
        publish(sasl, fresh);
    } else {
        mk_log(sasl->module, MK_LOG_ERROR, "sasl.secret",
               "the row of table 'sasl_secret' cannot be read; delete it to get a new one");
    }
    wipe_buf(&raw);
}

static void
on_inserted(struct mk_sql_result *result, void *arg)
{
    struct sasl *sasl = arg;

    if (sasl->db->status(result) != MK_SQL_OK)
        again_later(sasl);
    else
        sasl->db->exec(sasl->db->self, sasl->secret_select, NULL, 0, "sasl_secret", on_secret,
                       sasl);
}

/* Offers our own random secret; who came first stays. On a worker. */
static void
ask_database(void *arg)
{
    struct sasl *sasl = arg;
    unsigned char *mine = __atomic_load_n(&sasl->secret, __ATOMIC_ACQUIRE);
    struct mk_buf text = {0};
    struct mk_sql_value value;

    mk_base64_encode(&text, (struct mk_str){(const char *)mine, SECRET_LEN});
    value = MK_SQL_V_TEXT(mk_buf_str(&text));
    sasl->db->exec(sasl->db->self, sasl->secret_insert, &value, 1, "sasl_secret", on_inserted,
                   sasl);
    wipe_buf(&text);
}

int
secret_init(struct sasl *sasl, struct mk_error *err)
{
    const struct sasl_conf *conf = mk_module_conf(sasl->module, NULL);
    const struct mk_rdbms *db;

    sasl->secret = mk_alloc(SECRET_LEN);
    if (conf->secret && conf->secret[0]) {
        mk_digest(MK_SHA256, mk_str_of(conf->secret), sasl->secret);
        return 0;
    }
    mk_random(sasl->secret, SECRET_LEN);
    db = mk_service_nth(sasl->module, "rdbms", MK_RDBMS_ABI, 0);
    if (!db)
        return 0;
    sasl->db = db;
    if (db->schema(db->self, sasl->module, migrations, err) < 0)
        return -1;
    sasl->secret_insert = db->prepare(
        db->self, sasl->module,
        "INSERT INTO sasl_secret (id, secret) VALUES (1, ?) ON CONFLICT (id) DO NOTHING");
    sasl->secret_select =
        db->prepare(db->self, sasl->module, "SELECT secret FROM sasl_secret WHERE id = 1");
    return 0;
}

void
secret_start(struct sasl *sasl)
{
    if (sasl->db)
        mk_post(sasl->module, mk_worker_nth(0), ask_database, sasl);
}

void
secret_free(struct sasl *sasl)
{
    if (sasl->secret)
        wipe_secret(sasl->secret);
    sasl->secret = NULL;
}

void
secret_mac(struct sasl *sasl, const char *purpose, struct mk_str a, struct mk_str b,
           unsigned char out[32])
{
    const unsigned char *secret = __atomic_load_n(&sasl->secret, __ATOMIC_ACQUIRE);
    struct mk_buf text = {0};

    mk_buf_add(&text, purpose, strlen(purpose) + 1);
    mk_buf_printf(&text, "%zu:", a.len);
    mk_buf_add_str(&text, a);
    mk_buf_add_str(&text, b);
    mk_hmac(MK_SHA256, (struct mk_str){(const char *)secret, SECRET_LEN}, mk_buf_str(&text), out);
    mk_buf_release(&text);
}
