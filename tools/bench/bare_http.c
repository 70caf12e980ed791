/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The floor of `./dev bench api`: evhttp with one thread and one route, which answers whatever is asked with its argument. It
 * prints its port.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

static void
on_request(struct evhttp_request *rq, void *arg)
{
    const char *body = arg;

    evhttp_add_header(evhttp_request_get_output_headers(rq), "Content-Type", "application/json");
    evbuffer_add(evhttp_request_get_output_buffer(rq), body, strlen(body));
    evhttp_send_reply(rq, 200, "OK", NULL);
}

static unsigned
port_of(struct evhttp_bound_socket *bound)
{
    struct sockaddr_in at = {0};
    socklen_t len = sizeof(at);

    if (getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&at, &len) < 0)
        return 0;
    return ntohs(at.sin_port);
}

int
main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    struct evhttp_bound_socket *bound = http ? evhttp_bind_socket_with_handle(http, "127.0.0.1", 0) : NULL;

    if (argc != 2 || !bound) {
        fprintf(stderr, argc == 2 ? "bare_http: cannot listen\n" : "usage: bare_http BODY\n");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    evhttp_set_gencb(http, on_request, argv[1]);
    printf("%u\n", port_of(bound));
    fflush(stdout);
    event_base_dispatch(base);
    return 0;
}
