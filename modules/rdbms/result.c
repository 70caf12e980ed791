/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Reading an answer: rows are cells one behind the other, see struct mk_sql_cell. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "priv.h"

static enum mk_sql_status
get_status(const struct mk_sql_result *r)
{
    return r->answer->status;
}

static const char *
get_error(const struct mk_sql_result *r)
{
    return r->answer->error;
}

static size_t
get_rows(const struct mk_sql_result *r)
{
    return r->answer->rows;
}

static size_t
get_affected(const struct mk_sql_result *r)
{
    return r->answer->affected;
}

static bool
next(struct mk_sql_result *r)
{
    const struct mk_sql_answer *a = r->answer;

    if (a->status != MK_SQL_OK || r->row >= a->rows) {
        r->row = a->rows + 1;   /* behind the last row nothing can be read */
        return false;
    }
    if (!r->columns)
        r->columns = mk_alloc(sizeof(*r->columns) * (a->columns + 1));
    for (unsigned i = 0; i < a->columns; i++) {
        struct mk_sql_cell cell;

        r->columns[i] = (uint32_t)r->at;
        memcpy(&cell, a->cells.data + r->at, sizeof(cell));
        r->at += sizeof(cell) + cell.len;
    }
    r->row++;
    mk_buf_clear(&r->scratch);
    return true;
}

/* The cell of the row in hand and where its bytes are; false for a column that is not there. */
static bool
cell_at(const struct mk_sql_result *r, unsigned column, struct mk_sql_cell *cell_out,
        const char **data_out)
{
    if (r->row == 0 || r->row > r->answer->rows || column >= r->answer->columns)
        return false;
    const char *p = r->answer->cells.data + r->columns[column];

    memcpy(cell_out, p, sizeof(*cell_out));
    *data_out = p + sizeof(*cell_out);
    return true;
}

static int64_t
int_of_text(const char *data, size_t len)
{
    char digits[32];

    if (len >= sizeof(digits))
        return 0;
    memcpy(digits, data, len);
    digits[len] = '\0';
    return strtoll(digits, NULL, 10);
}

static int64_t
get_int(const struct mk_sql_result *r, unsigned column)
{
    struct mk_sql_cell cell;
    const char *data;
    int64_t value;

    if (!cell_at(r, column, &cell, &data))
        return 0;
    if (cell.type == MK_SQL_TEXT)
        return int_of_text(data, cell.len);
    if (cell.type != MK_SQL_INT)
        return 0;
    memcpy(&value, data, sizeof(value));
    return value;
}

static struct mk_str
get_text(const struct mk_sql_result *result, unsigned column)
{
    /* The scratch space is no part of what the caller sees of the result. */
    struct mk_sql_result *r = (struct mk_sql_result *)(uintptr_t)result;
    struct mk_sql_cell cell;
    const char *data;
    int64_t value;
    size_t begin;

    if (!cell_at(r, column, &cell, &data))
        return MK_STR("");
    if (cell.type != MK_SQL_INT)
        return (struct mk_str){data, cell.len};
    memcpy(&value, data, sizeof(value));
    /* Reserved for all columns at once: what an earlier call gave must not move. */
    if (r->scratch.cap == 0)
        mk_buf_reserve(&r->scratch, 24 * (size_t)r->answer->columns);
    if (r->scratch.cap - r->scratch.len < 24)
        mk_buf_clear(&r->scratch);
    begin = r->scratch.len;
    mk_buf_printf(&r->scratch, "%" PRId64, value);
    return (struct mk_str){r->scratch.data + begin, r->scratch.len - begin};
}

static bool
is_null(const struct mk_sql_result *r, unsigned column)
{
    struct mk_sql_cell cell;
    const char *data;

    return !cell_at(r, column, &cell, &data) || cell.type == MK_SQL_NULL;
}

void
result_release(struct mk_sql_result *r)
{
    mk_free(r->columns);
    mk_buf_release(&r->scratch);
}

void
result_functions(struct mk_rdbms *api)
{
    api->status = get_status;
    api->error = get_error;
    api->next = next;
    api->get_int = get_int;
    api->get_text = get_text;
    api->is_null = is_null;
    api->rows = get_rows;
    api->affected = get_affected;
}
