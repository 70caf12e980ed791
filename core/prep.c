/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Stringprep (RFC 3454) with the profiles of RFC 6122, by libidn. The limits are RFC 7622's: at most
 * 1023 bytes a part, counted after preparation.
 */
#include "config.h"

#include <idn-free.h>
#include <idna.h>
#include <stringprep.h>

#include <meerkat/jid.h>

/* What a peer may send to be prepared: longer input cannot become short enough. */
#define INPUT_MAX (4 * MK_JID_PART_MAX)

bool
mk_utf8_valid(struct mk_str in)
{
    const unsigned char *p = (const unsigned char *)in.p, *end = p + in.len;

    while (p < end) {
        unsigned c = *p++;
        unsigned more, lowest;

        if (c < 0x80)
            continue;
        if (c >= 0xc2 && c <= 0xdf) {
            more = 1;
            lowest = 0x80;
            c &= 0x1f;
        } else if (c >= 0xe0 && c <= 0xef) {
            more = 2;
            lowest = 0x800;
            c &= 0x0f;
        } else if (c >= 0xf0 && c <= 0xf4) {
            more = 3;
            lowest = 0x10000;
            c &= 0x07;
        } else {
            return false;
        }
        while (more--) {
            if (p == end || (*p & 0xc0) != 0x80)
                return false;
            c = c << 6 | (*p++ & 0x3f);
        }
        if (c < lowest || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
    }
    return true;
}

static int
run_profile(struct mk_buf *out, struct mk_str in, const Stringprep_profile *profile, size_t max)
{
    int rc;

    mk_buf_clear(out);
    if (in.len > INPUT_MAX || memchr(in.p ? in.p : "", '\0', in.len) || !mk_utf8_valid(in))
        return -1;
    mk_buf_add_str(out, in);
    mk_buf_cstr(out);
    /* Normalisation (NFKC) can grow a text; 18 times is the worst that Unicode has. */
    mk_buf_reserve(out, in.len * 18 + 1);
    rc = stringprep(out->data, out->cap, 0, profile);
    if (rc != STRINGPREP_OK) {
        mk_buf_clear(out);
        return -1;
    }
    out->len = strlen(out->data);
    return out->len > 0 && out->len <= max ? 0 : -1;
}

int
mk_prep_local(struct mk_buf *out, struct mk_str in)
{
    return run_profile(out, in, stringprep_xmpp_nodeprep, MK_JID_PART_MAX);
}

int
mk_prep_resource(struct mk_buf *out, struct mk_str in)
{
    return run_profile(out, in, stringprep_xmpp_resourceprep, MK_JID_PART_MAX);
}

int
mk_prep_password(struct mk_buf *out, struct mk_str in)
{
    return run_profile(out, in, stringprep_saslprep, MK_JID_PART_MAX);
}

static bool
is_address(struct mk_str s)
{
    bool colon = false;

    if (s.len < 4 || s.p[0] != '[' || s.p[s.len - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];

        colon |= c == ':';
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.'))
            return false;
    }
    return colon;
}

/* Each label as IDNA 2003 allows it, so that no domain exists that DNS could not carry. */
static bool
labels_fit(const char *domain)
{
    char *ascii = NULL;
    bool fit = idna_to_ascii_8z(domain, &ascii, 0) == IDNA_SUCCESS;

    if (ascii)
        idn_free(ascii);
    return fit;
}

/* The ideographic full stop separates labels as well (RFC 3490 §3.1); NFKC has made the other two forms into these. */
static void
plain_dots(struct mk_buf *domain)
{
    size_t to = 0;

    for (size_t i = 0; i < domain->len; i++) {
        bool stop = domain->len - i >= 3 && memcmp(domain->data + i, "\xe3\x80\x82", 3) == 0;

        domain->data[to++] = stop ? '.' : domain->data[i];
        i += stop ? 2 : 0;
    }
    domain->len = to;
}

int
mk_prep_domain(struct mk_buf *out, struct mk_str in)
{
    if (run_profile(out, in, stringprep_nameprep, MK_JID_PART_MAX) < 0)
        return -1;
    plain_dots(out);
    /* A final dot is the DNS root and goes (RFC 7622 §3.2). */
    if (out->len > 1 && out->data[out->len - 1] == '.')
        out->len--;
    if (out->len == 0 || out->data[out->len - 1] == '.')
        return -1;
    if (is_address(mk_buf_str(out)))
        return 0;
    if (strpbrk(mk_buf_cstr(out), " @/\\'\"&<>:") || !labels_fit(out->data))
        return -1;
    return 0;
}
