/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Compression of answers, by zlib. */
#include "config.h"

#include "internal.h"

#include <zlib.h>

/* Window of 32 KB, with the header of gzip. */
#define GZIP_WINDOW (15 + 16)

bool
type_is_text(const char *type)
{
    static const char *const types[] = {"text/", "application/json", "application/graphql", "application/javascript",
                                        "application/xml", "application/openmetrics-text", "image/svg+xml"};

    for (size_t i = 0; i < MK_COUNT(types); i++) {
        if (strncmp(type, types[i], strlen(types[i])) == 0)
            return true;
    }
    return false;
}

bool
client_takes_gzip(const struct request *rq)
{
    return list_has(rq->base.api->header(&rq->base, "Accept-Encoding"), "gzip");
}

int
gzip(struct mk_buf *out, struct mk_str in, int level)
{
    z_stream z = {0};
    size_t room;
    int rc;

    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -1;
    /* What does not become smaller is not worth it. */
    room = in.len > 64 ? in.len - 64 : 0;
    mk_buf_reserve(out, room + 1);
    z.next_in = (unsigned char *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.len;
    z.next_out = (unsigned char *)out->data + out->len;
    z.avail_out = (uInt)room;
    rc = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    if (rc != Z_STREAM_END)
        return -1;
    out->len += room - z.avail_out;
    return 0;
}
