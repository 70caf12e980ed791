/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Which node, and as whom: a Unix socket, whose permissions say who may, or a URL with credentials from a file or the
 * environment, never from the command line, which others on the machine can read.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define API_PATH "/api/graphql"
#define DESK_SOCKET "var/dev/api.sock"

/* Of a developer's node in this folder; never a socket that someone else has put there. */
static bool
is_our_desk(void)
{
    struct stat st;

    return stat(DESK_SOCKET, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid();
}

/* A container's environment configures the node that is in it too. Owned. */
static char *
default_socket(void)
{
    const char *socket = getenv("MEERKAT_SOCKET"), *state = getenv("MEERKAT__STATE_DIR");

    if (socket && *socket)
        return copy(socket);
    if (state && *state)
        return format("%s/api.sock", state);
    if (access(MK_STATEDIR "/api.sock", F_OK) != 0 && is_our_desk())
        return copy(DESK_SOCKET);
    return copy(MK_STATEDIR "/api.sock");
}

static bool
begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

static bool
is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");

    return (len == 9 && begins(host, "localhost")) || (len == 5 && begins(host, "[::1]")) ||
           (len >= 7 && begins(host, "127.") && strspn(host, "0123456789.") == len);
}

/* "USER:PASSWORD" */
static int
split_credentials(struct node *node, char *text, const char *path)
{
    char *colon = strchr(text, ':');

    if (!colon || colon == text || strchr(text, '\n')) {
        complain("'%s' must hold one line, USER:PASSWORD", path);
        return CTL_USAGE;
    }
    node->user = format("%.*s", (int)(colon - text), text);
    node->password = copy(colon + 1);
    return CTL_OK;
}

static int
find_credentials(struct node *node, const struct cli *cli)
{
    const char *user = getenv("MEERKAT_USER"), *password = getenv("MEERKAT_PASSWORD");

    if (cli->credentials_file) {
        char *text = read_value_file(cli->credentials_file, "credentials");
        int rc = text ? split_credentials(node, text, cli->credentials_file) : CTL_USAGE;

        if (text)
            explicit_bzero(text, strlen(text));
        free(text);
        return rc;
    }
    if (user && *user && password) {
        node->user = copy(user);
        node->password = copy(password);
    }
    return CTL_OK;
}

static int
init_remote(struct node *node, const struct cli *cli)
{
    const char *url = cli->url, *path;
    int rc;

    if (!begins(url, "https://") && !begins(url, "http://")) {
        complain("--url is an address like https://example.org:5551, not '%s'", url);
        return CTL_USAGE;
    }
    path = strchr(strstr(url, "://") + 3, '/');
    if (memchr(url, '@', path ? (size_t)(path - url) : strlen(url))) {
        complain("credentials do not belong into --url: use --credentials-file, or MEERKAT_USER and "
                 "MEERKAT_PASSWORD");
        return CTL_USAGE;
    }
    node->name = copy(url);
    node->url = !path || strcmp(path, "/") == 0
                    ? format("%.*s" API_PATH, (int)(path ? (size_t)(path - url) : strlen(url)), url)
                    : copy(url);
    rc = find_credentials(node, cli);
    if (rc == CTL_OK && node->user && begins(url, "http://") && !is_loopback(url)) {
        complain("the password would go over the network in clear; use https://");
        return CTL_USAGE;
    }
    return rc;
}

int
node_init(struct node *node, const struct cli *cli)
{
    *node = (struct node){.ca = cli->ca, .timeout = cli->timeout ? cli->timeout : 60};
    if (cli->url && cli->socket) {
        complain("--socket and --url exclude each other");
        return CTL_USAGE;
    }
    if (cli->url)
        return init_remote(node, cli);
    if (cli->credentials_file || cli->ca) {
        complain("--%s goes with --url; the socket needs none",
                 cli->ca ? "ca" : "credentials-file");
        return CTL_USAGE;
    }
    node->socket = cli->socket ? copy(cli->socket) : default_socket();
    node->name = copy(node->socket);
    node->url = copy("http://localhost" API_PATH);
    return CTL_OK;
}

static void
wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void
node_release(struct node *node)
{
    if (node->curl)
        curl_easy_cleanup(node->curl);
    wipe(node->password);
    free(node->user);
    free(node->url);
    free(node->socket);
    free(node->name);
}
