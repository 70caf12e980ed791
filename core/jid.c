/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* JIDs: RFC 7622 §3 form and limits. Preparation of the parts is in prep.c. */
#include "config.h"

#include "jid-internal.h"

static struct mk_jid *
make(struct mk_str local, struct mk_str domain, struct mk_str resource)
{
    size_t bare = (local.len ? local.len + 1 : 0) + domain.len;
    size_t len = bare + (resource.len ? resource.len + 1 : 0);
    struct mk_jid *jid = mk_alloc(sizeof(*jid) + len + 1);
    char *p = jid->text;

    jid->refs = 1;
    jid->local_len = (uint16_t)local.len;
    jid->domain_len = (uint16_t)domain.len;
    jid->bare_len = (uint16_t)bare;
    jid->len = (uint16_t)len;
    if (local.len) {
        memcpy(p, local.p, local.len);
        p += local.len;
        *p++ = '@';
    }
    memcpy(p, domain.p, domain.len);
    p += domain.len;
    if (resource.len) {
        *p++ = '/';
        memcpy(p, resource.p, resource.len);
        p += resource.len;
    }
    *p = '\0';
    jid->hash_bare = mk_hash(jid->text, bare);
    jid->needs_escape = jid->text[strcspn(jid->text, "<>&'\"")] != '\0';
    return jid;
}

/* True when preparing an ASCII part would change nothing and it is allowed as it is. */
static bool
plain_local(struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'))
            return false;
    }
    return s.len <= MK_JID_PART_MAX;
}

static bool
plain_domain(struct mk_str s)
{
    size_t label = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '.') {
            if (label == 0 || i + 1 == s.len)
                return false;
            label = 0;
        } else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && label)) ||
                   ++label > 63) {
            return false;
        }
    }
    return s.len > 0 && s.len <= MK_JID_PART_MAX;
}

static bool
plain_resource(struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < 0x20 || c >= 0x7f)
            return false;
    }
    return s.len <= MK_JID_PART_MAX;
}

struct mk_jid *
mk_jid_new(struct mk_str local, struct mk_str domain, struct mk_str resource)
{
    struct mk_buf l = {0}, d = {0}, r = {0};
    struct mk_jid *jid = NULL;

    if (!plain_local(local)) {
        if (mk_prep_local(&l, local) < 0)
            goto out;
        local = mk_buf_str(&l);
    }
    if (!plain_domain(domain)) {
        if (mk_prep_domain(&d, domain) < 0)
            goto out;
        domain = mk_buf_str(&d);
    }
    if (!plain_resource(resource)) {
        if (mk_prep_resource(&r, resource) < 0)
            goto out;
        resource = mk_buf_str(&r);
    }
    jid = make(local, domain, resource);
out:
    mk_buf_release(&l);
    mk_buf_release(&d);
    mk_buf_release(&r);
    return jid;
}

struct mk_jid *
mk_jid_parse(struct mk_str text)
{
    struct mk_str local = {NULL, 0}, domain, resource = {NULL, 0};
    const char *slash, *at;

    if (text.len == 0 || text.len > 4 * MK_JID_MAX || memchr(text.p, '\0', text.len))
        return NULL;
    slash = memchr(text.p, '/', text.len);
    if (slash) {
        resource.p = slash + 1;
        resource.len = text.len - (size_t)(slash + 1 - text.p);
        text.len = (size_t)(slash - text.p);
        if (resource.len == 0)
            return NULL;
    }
    at = memchr(text.p, '@', text.len);
    domain = text;
    if (at) {
        local.p = text.p;
        local.len = (size_t)(at - text.p);
        domain.p = at + 1;
        domain.len = text.len - local.len - 1;
        if (local.len == 0)
            return NULL;
    }
    return mk_jid_new(local, domain, resource);
}

struct mk_jid *
mk_jid_with_resource(const struct mk_jid *jid, struct mk_str resource)
{
    struct mk_buf r = {0};
    struct mk_jid *made = NULL;

    if (plain_resource(resource))
        return make(mk_jid_local(jid), mk_jid_domain(jid), resource);
    if (mk_prep_resource(&r, resource) == 0)
        made = make(mk_jid_local(jid), mk_jid_domain(jid), mk_buf_str(&r));
    mk_buf_release(&r);
    return made;
}

struct mk_jid *
mk_jid_bare_new(const struct mk_jid *jid)
{
    if (mk_jid_is_bare(jid))
        return mk_jid_ref(jid);
    return make(mk_jid_local(jid), mk_jid_domain(jid), (struct mk_str){NULL, 0});
}

struct mk_jid *
mk_jid_ref(const struct mk_jid *jid)
{
    struct mk_jid *j = (struct mk_jid *)jid;

    if (j)
        __atomic_fetch_add(&j->refs, 1, __ATOMIC_RELAXED);
    return j;
}

void
mk_jid_unref(struct mk_jid **jid)
{
    struct mk_jid *j = *jid;

    *jid = NULL;
    if (j && __atomic_fetch_sub(&j->refs, 1, __ATOMIC_ACQ_REL) == 1)
        mk_free(j);
}

struct mk_str
mk_jid_text(const struct mk_jid *jid)
{
    return (struct mk_str){jid->text, jid->len};
}

struct mk_str
mk_jid_bare(const struct mk_jid *jid)
{
    return (struct mk_str){jid->text, jid->bare_len};
}

struct mk_str
mk_jid_local(const struct mk_jid *jid)
{
    return (struct mk_str){jid->text, jid->local_len};
}

struct mk_str
mk_jid_domain(const struct mk_jid *jid)
{
    return (struct mk_str){jid->text + jid->bare_len - jid->domain_len, jid->domain_len};
}

struct mk_str
mk_jid_resource(const struct mk_jid *jid)
{
    if (jid->len == jid->bare_len)
        return (struct mk_str){jid->text + jid->len, 0};
    return (struct mk_str){jid->text + jid->bare_len + 1, (size_t)(jid->len - jid->bare_len - 1)};
}

bool
mk_jid_is_bare(const struct mk_jid *jid)
{
    return jid->len == jid->bare_len;
}

bool
mk_jid_is_domain(const struct mk_jid *jid)
{
    return jid->len == jid->domain_len;
}

bool
mk_jid_equal(const struct mk_jid *a, const struct mk_jid *b)
{
    return a == b || (a->hash_bare == b->hash_bare && mk_str_eq(mk_jid_text(a), mk_jid_text(b)));
}

bool
mk_jid_same_bare(const struct mk_jid *a, const struct mk_jid *b)
{
    return a == b || (a->hash_bare == b->hash_bare && mk_str_eq(mk_jid_bare(a), mk_jid_bare(b)));
}

uint64_t
mk_jid_hash_bare(const struct mk_jid *jid)
{
    return jid->hash_bare;
}
