/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Values that come from a file, standard input or the keyboard, so that they need not stand on the command line.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define VALUE_MAX ((size_t)16 << 20)

static struct termios before;

/* Ctrl-C at the prompt: the terminal must show again what is typed. */
static void
on_signal(int number)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    signal(number, SIG_DFL);
    raise(number);
}

static void
echo_off(const char *what)
{
    struct termios silent;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "%s: ", what);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
}

static void
echo_on(void)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    fputc('\n', stderr);
}

static char *
read_all(FILE *in, const char *path, bool one_line)
{
    char *text = NULL;
    size_t size = 0;
    ssize_t n;

    errno = 0;
    n = one_line ? getline(&text, &size, in) : getdelim(&text, &size, '\0', in);
    if (n < 0 && ferror(in)) {
        complain("cannot read '%s': %s", path, strerror(errno));
        free(text);
        return NULL;
    }
    if (n < 0) {
        free(text);
        return copy("");
    }
    if ((size_t)n > VALUE_MAX || memchr(text, '\0', (size_t)n)) {
        complain("'%s' is too long, or not text", path);
        free(text);
        return NULL;
    }
    if (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    if (n > 0 && text[n - 1] == '\r')
        text[--n] = '\0';
    return text;
}

char *
read_value_file(const char *path, const char *what)
{
    bool is_stdin = strcmp(path, "-") == 0, ask = is_stdin && isatty(STDIN_FILENO);
    FILE *in = is_stdin ? stdin : fopen(path, "re");
    char *text;

    if (!in) {
        complain("cannot read '%s': %s", path, strerror(errno));
        return NULL;
    }
    if (ask)
        echo_off(what);
    text = read_all(in, path, ask);
    if (ask)
        echo_on();
    if (!is_stdin)
        fclose(in);
    return text;
}
