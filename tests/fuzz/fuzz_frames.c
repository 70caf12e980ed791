/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * libFuzzer target: the bytes of a cluster link, cut into frames and given to a replica and to the queue of requests as module cets
 * does. The first byte chooses how far the link has got before: bit 0 greeted, bit 1 in sync as well, bit 2 the bytes come with
 * time between the frames. What the node has to send meanwhile must be frames that can be read.
 */
#include "config.h"

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "cets.h"
#include "internal-replica.h"
#include "wire.h"

#include "module-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OURS 0x1111u
#define THEIRS 0x2222u

static struct mk_module module = {.magic = MKI_MODULE_STRUCT_MAGIC, .def = {.name = "fuzz"},
                                  .owned = {&module.owned, &module.owned}};
/* What it provides is there once, for all runs. */
static struct cets provider;

/* -- what messages.c wants of the other files --------------------------------------------------- */

void
links_wake(struct cets *c, struct conn *conn)
{
    (void)c;
    conn->awake = true;
}

void
reload_all(void *cets, struct mk_module *m, mk_cluster_reloaded_fn fn, void *arg)
{
    (void)cets;
    (void)m;
    (void)fn;
    (void)arg;
}

/* -- what the replica says ------------------------------------------------------------------------ */

static void
on_changed(void *arg, unsigned table, const struct mk_entry *now, const struct mk_entry *old)
{
    (void)arg;
    (void)table;
    MK_ASSERT(now || old);
}

static void
on_done(void *arg, void *waiter, enum mk_table_result result)
{
    (void)arg;
    (void)waiter;
    (void)result;
}

static void
on_wake(void *arg, struct link *link)
{
    (void)arg;
    ((struct conn *)replica_link_driver(link))->awake = true;
}

static void
on_close(void *arg, struct link *link, const char *why)
{
    (void)arg;
    (void)why;
    ((struct conn *)replica_link_driver(link))->closing = true;
}

static void
on_note(void *arg, enum replica_note what, struct peer *peer, const char *text)
{
    struct cets *c = arg;

    (void)text;
    if (what == REPLICA_LEFT || what == REPLICA_GONE)
        messages_gone(c, peer);
}

/* -- the link ------------------------------------------------------------------------------------- */

static void
give(struct cets *c, struct conn *conn, struct mk_str frame, uint64_t now)
{
    if ((unsigned char)frame.p[0] >= FRAME_FOREIGN) {
        if (messages_receive(c, conn, frame) < 0)
            conn->closing = true;
        return;
    }
    pthread_mutex_lock(&c->lock);
    replica_receive(c->replica, conn->link, frame, now);
    if (!conn->greeted && replica_link_peer(conn->link)) {
        conn->greeted = true;
        messages_connected(c, replica_link_peer(conn->link), conn);
    }
    pthread_mutex_unlock(&c->lock);
}

/* Takes what the node would write, and looks whether it is frames. */
static void
pull(struct cets *c, struct conn *conn, uint64_t now)
{
    struct mk_buf out = {0};
    struct mk_str frame;
    size_t at = 0;

    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < 8 && replica_pull(c->replica, conn->link, &out, 1u << 16, true, now); i++)
        ;
    if (conn->greeted)
        (void)messages_pull(c, conn, &out, 1u << 16);
    pthread_mutex_unlock(&c->lock);
    while (at < out.len) {
        MK_ASSERT(frame_next((struct mk_str){out.data + at, out.len - at}, REPLICA_FRAME_MAX, &frame) == 1);
        at += 4 + frame.len;
    }
    mk_buf_release(&out);
}

static void
give_all(struct cets *c, struct conn *conn, struct mk_str bytes, bool slow)
{
    uint64_t now = 1000;
    struct mk_str frame;

    while (!conn->closing && frame_next(bytes, conn->greeted ? REPLICA_FRAME_MAX : 4096, &frame) == 1) {
        give(c, conn, frame, now);
        bytes.p += 4 + frame.len;
        bytes.len -= 4 + frame.len;
        if (slow) {
            now += 50;
            replica_tick(c->replica, now, now);
        }
        if (conn->awake && !conn->closing)
            pull(c, conn, now);
        conn->awake = false;
    }
}

/* A greeting and, in sync, an empty snapshot and a confirmation of all of ours. */
static void
say_before(struct cets *c, struct mk_buf *out, bool in_sync)
{
    size_t at = frame_begin(out, FRAME_HELLO);

    put_u32(out, HELLO_MAGIC);
    put_u16(out, 1);
    put_u16(out, 1);
    put_u16(out, 2);
    put_u64(out, THEIRS);
    put_u64(out, 5);
    put_str(out, MK_STR("c"));
    put_str(out, MK_STR("b"));
    put_str(out, MK_STR("version=0;"));
    frame_end(out, at);
    if (!in_sync)
        return;
    at = frame_begin(out, FRAME_STATE);
    put_u64(out, OURS);
    put_u64(out, 0);
    put_u8(out, 0);
    frame_end(out, at);
    at = frame_begin(out, FRAME_SNAP_BEGIN);
    put_u64(out, 0);
    put_u16(out, 1);
    put_u32(out, 1);
    put_str(out, MK_STR("t"));
    frame_end(out, at);
    at = frame_begin(out, FRAME_SNAP_END);
    put_u64(out, 0);
    frame_end(out, at);
    at = frame_begin(out, FRAME_ACK);
    put_u64(out, replica_seq(c->replica));
    put_u8(out, 1);
    frame_end(out, at);
    at = frame_begin(out, (enum frame)68);
    put_u64(out, 0);
    put_u64(out, 1);
    put_u64(out, 0);
    frame_end(out, at);
}

static struct replica *
make_replica(struct cets *c)
{
    struct replica_out out = {c, on_changed, on_done, on_wake, on_close, on_note};
    struct replica_config config = {.cluster = "c", .name = "a", .number = 1, .incarnation = OURS, .start = 4,
                                    .heartbeat = 300, .dead_after = 1000, .grace = 1000, .digest_every = 500,
                                    .log_keep = 1u << 16, .log_max = 1u << 18};
    struct replica *r = replica_new(&config, &out);

    (void)replica_table(r, "t", 1);
    replica_put(r, 0, MK_STR("group"), MK_STR("key"), MK_STR("value"));
    return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool registered;
    static unsigned runs;
    struct cets *c;
    struct conn conn = {.cets = NULL};
    struct mk_buf before = {0};

    if (!registered) {
        urcu_memb_register_thread();
        provider.module = &module;
        MK_ASSERT(messages_provide(&provider, NULL) == 0);
        registered = true;
    }
    if (size < 1)
        return 0;
    c = mk_zalloc(sizeof(*c));
    c->module = &module;
    c->cluster_service = provider.cluster_service;
    c->cluster_service.self = c;
    pthread_mutex_init(&c->lock, NULL);
    c->replica = make_replica(c);
    conn.cets = c;
    conn.link = replica_link_up(c->replica, true, &conn, 1000);
    urcu_memb_read_lock();
    if (data[0] & 3)
        say_before(c, &before, data[0] & 2);
    give_all(c, &conn, mk_buf_str(&before), false);
    give_all(c, &conn, (struct mk_str){(const char *)data + 1, size - 1}, data[0] & 4);
    if (!conn.closing)
        pull(c, &conn, 5000);
    urcu_memb_read_unlock();
    messages_disconnected(c, &conn);
    replica_link_down(c->replica, conn.link, 6000);
    replica_tick(c->replica, 60000, 60000);
    messages_release(c);
    replica_free(&c->replica);
    pthread_mutex_destroy(&c->lock);
    mk_buf_release(&before);
    mk_free(c);
    if (++runs % 1000 == 0)
        urcu_memb_barrier();
    return 0;
}
