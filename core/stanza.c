/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Stanzas: one allocation each, payloads shared, written with a new opening tag. */
#include "config.h"

#include "stanza-internal.h"

#include <meerkat/stream.h>
#include <meerkat/router.h>
#include <meerkat/worker.h>

#include "jid-internal.h"

static const char *const kind_names[] = {"message", "presence", "iq", ""};

static const char *const type_names[] = {
    [MK_TYPE_NONE] = NULL,
    [MK_TYPE_ERROR] = "error",
    [MK_TYPE_CHAT] = "chat",
    [MK_TYPE_GROUPCHAT] = "groupchat",
    [MK_TYPE_HEADLINE] = "headline",
    [MK_TYPE_NORMAL] = "normal",
    [MK_TYPE_UNAVAILABLE] = "unavailable",
    [MK_TYPE_SUBSCRIBE] = "subscribe",
    [MK_TYPE_SUBSCRIBED] = "subscribed",
    [MK_TYPE_UNSUBSCRIBE] = "unsubscribe",
    [MK_TYPE_UNSUBSCRIBED] = "unsubscribed",
    [MK_TYPE_PROBE] = "probe",
    [MK_TYPE_GET] = "get",
    [MK_TYPE_SET] = "set",
    [MK_TYPE_RESULT] = "result",
    [MK_TYPE_UNKNOWN] = NULL,
};

static const struct {
    const char *name, *type;
} errors[] = {
    {NULL, NULL},
#define X(id, name, type) {name, type},
    MK_STANZA_ERRORS(X)
#undef X
};

const char *
mk_stanza_error_name(enum mk_stanza_error e)
{
    return errors[e].name;
}

const char *
mk_stanza_error_type(enum mk_stanza_error e)
{
    return errors[e].type;
}

static enum mk_stanza_type
type_of(enum mk_stanza_kind kind, struct mk_str text)
{
    static const struct {
        enum mk_stanza_type first, last;
    } range[] = {{MK_TYPE_CHAT, MK_TYPE_NORMAL},
                 {MK_TYPE_UNAVAILABLE, MK_TYPE_PROBE},
                 {MK_TYPE_GET, MK_TYPE_RESULT}};

    if (!text.p || kind == MK_NONZA)
        return MK_TYPE_NONE;
    if (mk_str_is(text, "error"))
        return MK_TYPE_ERROR;
    for (enum mk_stanza_type t = range[kind].first; t <= range[kind].last; t++) {
        if (mk_str_is(text, type_names[t]))
            return t;
    }
    return MK_TYPE_UNKNOWN;
}

/* Copies `s` with a NUL to *p and moves on; NULL for an absent one. */
static const char *
put(char **p, struct mk_str s)
{
    char *here = *p;

    if (!s.p)
        return NULL;
    memcpy(here, s.p, s.len);
    here[s.len] = '\0';
    *p += s.len + 1;
    return here;
}

static size_t
room(struct mk_str s)
{
    return s.p ? s.len + 1 : 0;
}

static void
put_children(struct mk_stanza *st, struct mki_child *children, char **p, const struct mki_parts *parts)
{
    const char *names = put(p, parts->child_names);

    for (uint32_t i = 0; i < parts->child_count; i++) {
        children[i].name = names;
        names += strlen(names) + 1;
        children[i].ns = names;
        names += strlen(names) + 1;
    }
    st->children = children;
    st->child_count = parts->child_count;
}

struct mk_stanza *
mki_stanza_make(struct mki_parts *parts)
{
    bool nonza = parts->kind == MK_NONZA;
    enum mk_stanza_type type = type_of(parts->kind, parts->type);
    struct mk_str type_text = {NULL, 0};
    size_t size = sizeof(struct mk_stanza) + parts->child_count * sizeof(struct mki_child);
    struct mk_stanza *st;
    char *p;

    if (type == MK_TYPE_UNKNOWN)
        type_text = parts->type;
    st = mk_alloc(size + room(parts->id) + room(parts->lang) + room(parts->extra) +
                  room(type_text) + room(parts->child_names) + parts->inner.len + 1 +
                  (nonza ? room(parts->name) + room(parts->ns) : 0));
    p = (char *)st + size;
    *st = (struct mk_stanza){.magic = MKI_STANZA_MAGIC, .refs = 1, .kind = (uint8_t)parts->kind,
                             .type = (uint8_t)type, .bad_address = parts->bad_address,
                             .from = parts->from, .to = parts->to};
    parts->from = parts->to = NULL;
    st->owner = st;
    put_children(st, (struct mki_child *)(st + 1), &p, parts);
    st->id = put(&p, parts->id);
    st->id_escape = st->id && st->id[strcspn(st->id, "<>&'\"\t\r\n")];
    st->lang = put(&p, parts->lang);
    st->extra = (struct mk_str){put(&p, parts->extra), parts->extra.len};
    st->type_text = put(&p, type_text);
    st->name = nonza ? put(&p, parts->name) : kind_names[parts->kind];
    st->ns = nonza ? put(&p, parts->ns) : MK_NS_CLIENT;
    if (parts->inner.len)
        memcpy(p, parts->inner.p, parts->inner.len);
    st->inner = (struct mk_str){p, parts->inner.len};
    return st;
}

struct mk_stanza *
mk_stanza_ref(const struct mk_stanza *st)
{
    struct mk_stanza *s = (struct mk_stanza *)st;

    if (s)
        __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

static struct mki_fate *
fate_ref(struct mki_fate *fate)
{
    if (fate)
        __atomic_fetch_add(&fate->refs, 1, __ATOMIC_RELAXED);
    return fate;
}

static void
fate_unref(struct mki_fate *fate)
{
    if (!fate || __atomic_fetch_sub(&fate->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    if (fate->safety) {
        mk_safety_tell(fate->safety);
        mk_safety_unref(&fate->safety);
    }
    if (fate->fn)
        fate->fn(fate->given_up, fate->arg);
    mk_free(fate);
}

static struct mki_fate *
fate_of(struct mk_stanza *st)
{
    if (!st->fate) {
        st->fate = mk_zalloc(sizeof(*st->fate));
        st->fate->refs = 1;
    }
    return st->fate;
}

void
mk_stanza_when_settled(struct mk_stanza *st, bool report, mk_stanza_settled_fn fn, void *arg)
{
    struct mki_fate *fate = fate_of(st);

    MK_ASSERT(!fate->fn);
    fate->report = report;
    fate->fn = fn;
    fate->arg = arg;
}

bool
mk_stanza_is_watched(const struct mk_stanza *st)
{
    return st->fate && st->fate->fn;
}

/* -- safety --------------------------------------------------------------------------------- */

struct mk_safety {
    uint32_t refs;              /* atomic */
    bool told;                  /* atomic: fn is on its way, or must not run */
    struct mk_module *module;
    struct mk_worker *worker;
    mk_task_fn fn;
    void *arg;
};

struct mk_safety *
mk_stanza_when_safe(struct mk_stanza *st, struct mk_module *m, mk_task_fn fn, void *arg)
{
    struct mki_fate *fate = fate_of(st);

    MK_ASSERT(!fate->safety);
    fate->safety = mk_alloc(sizeof(*fate->safety));
    *fate->safety = (struct mk_safety){.refs = 2, .module = m, .worker = mk_worker_self(), .fn = fn,
                                       .arg = arg};
    return fate->safety;
}

struct mk_safety *
mk_stanza_get_safety(const struct mk_stanza *st)
{
    if (!st->fate || !st->fate->safety)
        return NULL;
    __atomic_fetch_add(&st->fate->safety->refs, 1, __ATOMIC_RELAXED);
    return st->fate->safety;
}

void
mk_safety_unref(struct mk_safety **safety)
{
    struct mk_safety *s = *safety;

    *safety = NULL;
    if (s && __atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) == 1)
        mk_free(s);
}

void
mk_safety_tell(struct mk_safety *s)
{
    if (__atomic_exchange_n(&s->told, true, __ATOMIC_ACQ_REL))
        return;
    if (s->worker == mk_worker_self())
        mk_defer(s->module, s->fn, s->arg);
    else
        mk_post(s->module, s->worker, s->fn, s->arg);
}

bool
mk_safety_cancel(struct mk_safety **safety)
{
    bool told = __atomic_exchange_n(&(*safety)->told, true, __ATOMIC_ACQ_REL);

    mk_safety_unref(safety);
    return !told;
}

void
mk_stanza_unref(struct mk_stanza **stp)
{
    struct mki_fate *fate;
    struct mk_stanza *st = *stp;

    *stp = NULL;
    if (!st)
        return;
    MK_ASSERT(st->magic == MKI_STANZA_MAGIC);
    /* Alone with it: no need for a locked operation. */
    if (__atomic_load_n(&st->refs, __ATOMIC_ACQUIRE) != 1 &&
        __atomic_fetch_sub(&st->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    mk_jid_unref(&st->from);
    mk_jid_unref(&st->to);
    if (st->owner != st)
        mk_stanza_unref(&st->owner);
    else
        mk_node_free(&st->tree);
    fate = st->fate;
    st->magic = 0;
    mk_free(st);
    fate_unref(fate);
}

enum mk_stanza_kind
mk_stanza_kind(const struct mk_stanza *st)
{
    return st->kind;
}

enum mk_stanza_type
mk_stanza_type(const struct mk_stanza *st)
{
    return st->type;
}

const struct mk_jid *
mk_stanza_from(const struct mk_stanza *st)
{
    return st->from;
}

const struct mk_jid *
mk_stanza_to(const struct mk_stanza *st)
{
    return st->to;
}

const char *
mk_stanza_id(const struct mk_stanza *st)
{
    return st->id;
}

const char *
mk_stanza_lang(const struct mk_stanza *st)
{
    return st->lang;
}

const char *
mk_stanza_name(const struct mk_stanza *st)
{
    return st->name;
}

const char *
mk_stanza_ns(const struct mk_stanza *st)
{
    return st->ns;
}

bool
mk_stanza_bad_address(const struct mk_stanza *st)
{
    return st->bad_address;
}

struct mk_str
mk_stanza_inner(const struct mk_stanza *st)
{
    return st->owner->inner;
}

size_t
mk_stanza_size(const struct mk_stanza *st)
{
    return st->owner->inner.len + st->extra.len + 64 + (st->from ? st->from->len : 0) +
           (st->to ? st->to->len : 0);
}

bool
mk_stanza_nth(const struct mk_stanza *st, size_t n, const char **name_out, const char **ns_out)
{
    const struct mk_stanza *o = st->owner;

    if (n >= o->child_count)
        return false;
    *name_out = o->children[n].name;
    *ns_out = o->children[n].ns;
    return true;
}

bool
mk_stanza_has(const struct mk_stanza *st, const char *name, const char *ns)
{
    const struct mk_stanza *o = st->owner;

    for (uint32_t i = 0; i < o->child_count; i++) {
        if ((!name || strcmp(o->children[i].name, name) == 0) &&
            (!ns || strcmp(o->children[i].ns, ns) == 0))
            return true;
    }
    return false;
}

const struct mk_node *
mk_stanza_node(const struct mk_stanza *st)
{
    struct mk_stanza *o = st->owner;
    struct mk_node *tree = __atomic_load_n(&o->tree, __ATOMIC_ACQUIRE), *expected = NULL;

    if (tree)
        return tree;
    tree = mki_tree_of(o->inner, o->kind == MK_NONZA);
    MK_ASSERT(tree);        /* the bytes were parsed or built before */
    if (o->kind != MK_NONZA) {
        tree->name = o->name;
        tree->ns = o->ns;
    }
    /* Two threads may build it at once: one wins. */
    if (!__atomic_compare_exchange_n(&o->tree, &expected, tree, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        mk_node_free(&tree);
        return expected;
    }
    return tree;
}

const struct mk_node *
mk_stanza_child(const struct mk_stanza *st, const char *name, const char *ns)
{
    if (st->kind != MK_NONZA && !mk_stanza_has(st, name, ns))
        return NULL;
    return mk_node_child(mk_stanza_node(st), name, ns);
}

const char *
mk_stanza_attr(const struct mk_stanza *st, const char *name)
{
    if (st->kind == MK_NONZA)
        return mk_node_attr(mk_stanza_node(st), name);
    return NULL;
}

enum mk_stanza_error
mk_stanza_get_error(const struct mk_stanza *st)
{
    const struct mk_node *error = mk_stanza_child(st, "error", NULL);

    for (const struct mk_node *c = mk_node_child(error, NULL, MK_NS_STANZAS); c;
         c = mk_node_next(c, NULL, MK_NS_STANZAS)) {
        for (enum mk_stanza_error e = MK_ERR_BAD_REQUEST; e < MK_COUNT(errors); e++) {
            if (strcmp(mk_node_name(c), errors[e].name) == 0)
                return e;
        }
    }
    return MK_ERR_UNDEFINED_CONDITION;
}

static void
write_jid(struct mk_buf *out, const char *label, size_t label_len, const struct mk_jid *jid)
{
    mk_buf_add(out, label, label_len);
    if (MK_UNLIKELY(jid->needs_escape))
        mki_xml_escape_attr(out, mk_jid_text(jid));
    else
        mk_buf_add(out, jid->text, jid->len);
    mk_buf_add_byte(out, '\'');
}

static void
write_open(const struct mk_stanza *st, struct mk_buf *out, const char *ns)
{
    const char *type = st->type == MK_TYPE_UNKNOWN ? st->type_text : type_names[st->type];

    mk_buf_add_byte(out, '<');
    mk_buf_add_cstr(out, st->name);
    if (ns)
        mk_buf_printf(out, " xmlns='%s'", ns);
    if (st->from)
        write_jid(out, " from='", 7, st->from);
    if (st->to)
        write_jid(out, " to='", 5, st->to);
    if (type) {
        mk_buf_add(out, " type='", 7);
        mki_xml_escape_attr(out, mk_str_of(type));
        mk_buf_add_byte(out, '\'');
    }
    if (st->id) {
        mk_buf_add(out, " id='", 5);
        if (st->id_escape)
            mki_xml_escape_attr(out, mk_str_of(st->id));
        else
            mk_buf_add_cstr(out, st->id);
        mk_buf_add_byte(out, '\'');
    }
    if (st->lang) {
        mk_buf_add(out, " xml:lang='", 11);
        mki_xml_escape_attr(out, mk_str_of(st->lang));
        mk_buf_add_byte(out, '\'');
    }
    mk_buf_add_str(out, st->extra);
}

static void
write_as(const struct mk_stanza *st, struct mk_buf *out, const char *ns)
{
    struct mk_str inner = st->owner->inner;

    mk_buf_reserve(out, inner.len + st->extra.len + 512);
    if (st->kind == MK_NONZA) {
        mk_buf_add_str(out, inner);
        return;
    }
    write_open(st, out, ns);
    if (inner.len == 0) {
        mk_buf_add(out, "/>", 2);
        return;
    }
    mk_buf_add_byte(out, '>');
    mk_buf_add_str(out, inner);
    mk_buf_add(out, "</", 2);
    mk_buf_add_cstr(out, st->name);
    mk_buf_add_byte(out, '>');
}

void
mk_stanza_write(const struct mk_stanza *st, struct mk_buf *out)
{
    write_as(st, out, NULL);
}

void
mk_xml_stanza(struct mk_xml *x, const struct mk_stanza *st)
{
    MK_ASSERT(st->kind != MK_NONZA);
    if (x->depth && x->stack[x->depth - 1].tag_open) {
        mk_buf_add_byte(&x->buf, '>');
        x->stack[x->depth - 1].tag_open = false;
    }
    if (x->depth == 0) {
        mk_buf_printf(&x->names, "%s%c%s%c", st->name, 0, MK_NS_CLIENT, 0);
        x->child_count++;
    }
    write_as(st, &x->buf, MK_NS_CLIENT);
}

static struct mk_str
optional(const char *text)
{
    return mk_str_of(text);
}

struct mk_stanza *
mk_stanza_new(enum mk_stanza_kind kind, enum mk_stanza_type type, const struct mk_jid *from,
              const struct mk_jid *to, const char *id, struct mk_xml *content)
{
    struct mki_parts parts = {.kind = kind, .from = mk_jid_ref(from), .to = mk_jid_ref(to),
                              .id = optional(id)};
    struct mk_stanza *st;

    MK_ASSERT(kind != MK_NONZA && type != MK_TYPE_UNKNOWN);
    if (content) {
        parts.inner = mki_xml_finish(content);
        parts.child_names = mk_buf_str(&content->names);
        parts.child_count = content->child_count;
    }
    st = mki_stanza_make(&parts);
    st->type = (uint8_t)type;
    mk_xml_free(&content);
    return st;
}

struct mk_stanza *
mk_stanza_readdress(const struct mk_stanza *st, const struct mk_jid *from, const struct mk_jid *to)
{
    struct mk_stanza *copy = mk_alloc(sizeof(*copy));

    *copy = *st;
    copy->refs = 1;
    copy->from = mk_jid_ref(from);
    copy->to = mk_jid_ref(to);
    copy->owner = mk_stanza_ref(st->owner);
    copy->fate = fate_ref(st->fate);
    copy->tree = NULL;
    copy->others = 0;
    return copy;
}

/* A stanza with the head of `st` and other children. */
static struct mk_stanza *
with_content(const struct mk_stanza *st, struct mk_str inner, uint32_t child_count,
             struct mk_str child_names)
{
    struct mki_parts parts = {.kind = st->kind, .from = mk_jid_ref(st->from),
                              .to = mk_jid_ref(st->to), .id = optional(st->id),
                              .lang = optional(st->lang), .extra = st->extra, .inner = inner,
                              .child_count = child_count, .child_names = child_names,
                              .bad_address = st->bad_address,
                              .type = optional(st->type_text)};
    struct mk_stanza *made = mki_stanza_make(&parts);

    made->type = st->type;
    made->fate = fate_ref(st->fate);
    return made;
}

struct mk_stanza *
mk_stanza_append(const struct mk_stanza *st, struct mk_xml *more)
{
    const struct mk_stanza *o = st->owner;
    struct mk_buf inner = {0}, names = {0};
    struct mk_stanza *made;

    MK_ASSERT(st->kind != MK_NONZA);
    mk_buf_add_str(&inner, o->inner);
    mk_buf_add_str(&inner, mki_xml_finish(more));
    for (uint32_t i = 0; i < o->child_count; i++) {
        mk_buf_add(&names, o->children[i].name, strlen(o->children[i].name) + 1);
        mk_buf_add(&names, o->children[i].ns, strlen(o->children[i].ns) + 1);
    }
    mk_buf_add_str(&names, mk_buf_str(&more->names));
    made = with_content(st, mk_buf_str(&inner), o->child_count + more->child_count,
                        mk_buf_str(&names));
    mk_buf_release(&inner);
    mk_buf_release(&names);
    mk_xml_free(&more);
    return made;
}

static bool
matches(const struct mk_node *n, const char *name, const char *ns, const char *by)
{
    const char *value;

    if (!n->name || !mk_node_is(n, name, ns))
        return false;
    if (!by)
        return true;
    value = mk_node_attr(n, "by");
    return value && strcmp(value, by) == 0;
}

struct mk_stanza *
mk_stanza_without(const struct mk_stanza *st, const char *name, const char *ns, const char *by)
{
    struct mk_stanza *made;
    struct mk_xml *x;
    bool found = false;

    MK_ASSERT(st->kind != MK_NONZA);
    if (!mk_stanza_has(st, name, ns))
        return mk_stanza_ref(st);
    x = mk_xml_new(NULL);
    for (const struct mk_node *n = mk_stanza_node(st)->first; n; n = n->next) {
        if (matches(n, name, ns, by))
            found = true;
        else if (n->name)
            mk_xml_node(x, n);
    }
    if (found)
        made = with_content(st, mki_xml_finish(x), x->child_count, mk_buf_str(&x->names));
    else
        made = mk_stanza_ref(st);
    mk_xml_free(&x);
    return made;
}

struct mk_stanza *
mk_stanza_error_reply(const struct mk_stanza *st, enum mk_stanza_error e, const char *text)
{
    struct mk_stanza *reply;
    struct mk_xml *x;

    if (st->kind == MK_NONZA || st->type == MK_TYPE_ERROR || st->type == MK_TYPE_RESULT)
        return NULL;
    x = mk_xml_new(NULL);
    mk_xml_open(x, "error", NULL);
    mk_xml_attr(x, "type", errors[e].type);
    mk_xml_leaf(x, errors[e].name, MK_NS_STANZAS, MK_STR(""));
    if (text)
        mk_xml_leaf(x, "text", MK_NS_STANZAS, mk_str_of(text));
    reply = mk_stanza_new(st->kind, MK_TYPE_ERROR, st->to, st->from, st->id, x);
    return reply;
}

void
mk_stanza_set_receivers(struct mk_stanza *st, unsigned n)
{
    st->others = (int32_t)n - 1;
}

bool
mk_stanza_is_alone(const struct mk_stanza *st)
{
    return __atomic_load_n(&st->others, __ATOMIC_RELAXED) == 0;
}

bool
mk_stanza_given_up(struct mk_stanza *st)
{
    if (st->fate && st->fate->report) {
        __atomic_store_n(&st->fate->given_up, true, __ATOMIC_RELAXED);
        return false;
    }
    int32_t others = __atomic_load_n(&st->others, __ATOMIC_ACQUIRE);

    /* A copy stays one, and the last receiver finds zero. */
    return others == 0 ||
           (others > 0 && __atomic_fetch_sub(&st->others, 1, __ATOMIC_ACQ_REL) == 0);
}

struct mk_stanza *
mk_stanza_result(const struct mk_stanza *st, struct mk_xml *content)
{
    return mk_stanza_new(MK_IQ, MK_TYPE_RESULT, st->to, st->from, st->id, content);
}

void
mk_stanza_replace(struct mk_stanza **slot, struct mk_stanza *taken)
{
    mk_stanza_unref(slot);
    *slot = taken;
}
