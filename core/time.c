/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Clocks, and the date and time profile of XEP-0082. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <meerkat/base.h>

#include "base-internal.h"

static __thread uint64_t cached_ms;

uint64_t
mki_clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
mki_now_set(uint64_t ms)
{
    cached_ms = ms;
}

uint64_t
mk_now_ms(void)
{
    return cached_ms ? cached_ms : mki_clock_ms();
}

int64_t
mk_time_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void
mk_time_text(int64_t us, char out[MK_TIME_TEXT_MAX])
{
    time_t s = (time_t)(us / 1000000);
    long fraction = (long)(us % 1000000);
    struct tm tm;
    size_t n;

    if (fraction < 0) {
        fraction += 1000000;
        s--;
    }
    gmtime_r(&s, &tm);
    n = strftime(out, MK_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (fraction)
        snprintf(out + n, MK_TIME_TEXT_MAX - n, ".%06ldZ", fraction);
    else
        snprintf(out + n, MK_TIME_TEXT_MAX - n, "Z");
}

/* Reads exactly `digits` digits. */
static bool
number(const char **p, int digits, int *out)
{
    *out = 0;
    while (digits--) {
        if (**p < '0' || **p > '9')
            return false;
        *out = *out * 10 + (*(*p)++ - '0');
    }
    return true;
}

static bool
zone(const char **p, int *seconds)
{
    int h, m, sign;

    *seconds = 0;
    if (**p == 'Z') {
        (*p)++;
        return true;
    }
    if (**p != '+' && **p != '-')
        return false;
    sign = *(*p)++ == '-' ? -1 : 1;
    if (!number(p, 2, &h) || *(*p)++ != ':' || !number(p, 2, &m) || h > 23 || m > 59)
        return false;
    *seconds = sign * (h * 3600 + m * 60);
    return true;
}

int
mk_time_parse(struct mk_str text, int64_t *us_out)
{
    char copy[48];
    const char *p = copy;
    struct tm tm = {0};
    int64_t fraction = 0, scale = 100000;
    int offset;

    if (text.len == 0 || text.len >= sizeof(copy))
        return -1;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    if (!number(&p, 4, &tm.tm_year) || *p++ != '-' || !number(&p, 2, &tm.tm_mon) || *p++ != '-' ||
        !number(&p, 2, &tm.tm_mday) || *p++ != 'T' || !number(&p, 2, &tm.tm_hour) || *p++ != ':' ||
        !number(&p, 2, &tm.tm_min) || *p++ != ':' || !number(&p, 2, &tm.tm_sec))
        return -1;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 24 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return -1;
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
            fraction += (*p - '0') * scale;
    }
    if (!zone(&p, &offset) || *p)
        return -1;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *us_out = ((int64_t)timegm(&tm) - offset) * 1000000 + fraction;
    return 0;
}
