/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Workers, and how code gets to run on them. Each worker is a thread with its own event loop. An
 * object lives on one worker and is touched by it alone; others post. Every callback that the core
 * makes on a worker is inside a read section of RCU: what it finds in a table or a configuration
 * stays valid until it returns. No callback may block.
 */
#ifndef MEERKAT_WORKER_H
#define MEERKAT_WORKER_H

#include <pthread.h>

#include <meerkat/base.h>

MK_BEGIN

struct mk_module;
struct mk_worker;
struct mk_timer;
struct mk_fd;

typedef void (*mk_task_fn)(void *arg);

/* The worker that this thread is, or NULL on any other thread. */
MK_API struct mk_worker *mk_worker_self(void);
MK_API size_t mk_worker_count(void);
MK_API struct mk_worker *mk_worker_nth(size_t n);
MK_API size_t mk_worker_index(const struct mk_worker *w);

/*
 * Runs fn(arg) on `w`, soon, after what is already in its inbox; posts of one thread to one worker
 * keep their order. The module is counted as busy until it has run. Any thread.
 */
MK_API void mk_post(struct mk_module *m, struct mk_worker *w, mk_task_fn fn, void *arg);

/* Runs fn(arg) on this worker after the current callback and before the loop sleeps. Worker. */
MK_API void mk_defer(struct mk_module *m, mk_task_fn fn, void *arg);

/*
 * Runs work(arg) on the offload pool (for what takes a processor long: hashing passwords), then
 * done(arg) on the worker that asked. Returns -1 without having run anything when the queue of
 * `meerkat.offload_queue` is full: answer with resource-constraint. Worker. A job that walks a
 * large table (tables.h) does so between mk_callback_begin and mk_callback_end.
 */
MK_API int mk_offload(struct mk_module *m, mk_task_fn work, mk_task_fn done,
                      void *arg) MK_NODISCARD;

/*
 * Timers. The core owns them: a timer that fired once is gone, mk_timer_free stops one before, and
 * those that are left when the module goes are stopped by the core. Resolution about 10 ms. Worker; freed on the
 * worker that made it.
 */
MK_API struct mk_timer *mk_timer_new(struct mk_module *m, uint64_t after_ms, mk_task_fn fn,
                                     void *arg) MK_NODISCARD;      /* owned until it fires */
MK_API struct mk_timer *mk_timer_every(struct mk_module *m, uint64_t every_ms, mk_task_fn fn,
                                       void *arg) MK_NODISCARD;    /* owned */
MK_API void mk_timer_free(struct mk_timer **timer);

/*
 * Descriptors. `fn` is told which of MK_READ, MK_WRITE happened. mk_fd_want changes what is watched
 * for. mk_fd_free stops watching and does not close. Worker.
 */
enum mk_fd_events { MK_READ = 1u << 0, MK_WRITE = 1u << 1 };
typedef void (*mk_fd_fn)(int fd, unsigned events, void *arg);
MK_API struct mk_fd *mk_fd_new(struct mk_module *m, int fd, unsigned events, mk_fd_fn fn,
                               void *arg) MK_NODISCARD;            /* owned */
MK_API void mk_fd_want(struct mk_fd *watch, unsigned events);
MK_API void mk_fd_free(struct mk_fd **watch);

/*
 * Listeners: a socket a worker and address, spread by SO_REUSEPORT. `fn` runs on the worker that
 * accepted, with a non-blocking descriptor that it then owns. `addresses` are in the form that
 * MK_TYPE_ADDRESSES gives. Port 0 becomes one free port for all workers, and the log says which.
 * mk_listen runs on the main thread in start; the core closes the sockets when the module stops, or
 * earlier by mk_listen_close.
 */
struct sockaddr_storage;
struct mk_listener;
/* `peer` of a Unix socket has the family AF_UNIX and nothing else. */
typedef void (*mk_accept_fn)(int fd, const struct sockaddr_storage *peer, void *arg);
MK_API struct mk_listener *mk_listen(struct mk_module *m, const char *what, const char *address,
                                     mk_accept_fn fn, void *arg, struct mk_error *err) MK_NODISCARD;
/* The port that a listener got; 0: a Unix socket. */
MK_API unsigned mk_listener_port(const struct mk_listener *l);
/*
 * An address "unix:PATH" is a Unix socket, one for all workers (its connections come to the first), for the user
 * and the group of this process; a dead one in its place goes first, and it goes with the listener.
 *
 * With fn NULL the core accepts nothing: the sockets are for a library that does (evhttp). This is the one of worker `w`,
 * -1: it has none. The core closes it with the listener. Any thread.
 */
MK_API int mk_listener_socket(const struct mk_listener *l, const struct mk_worker *w);
MK_API void mk_listen_close(struct mk_listener **l);

/* Called at the end of each loop turn of a worker, after deferred calls: to write once what a turn
 * produced. One function a module; runs on every worker. Main thread, in init. */
MK_API void mk_on_turn_end(struct mk_module *m, mk_task_fn fn, void *arg);

/*
 * For libraries that want libevent's own loop (evhttp): the base of a worker, to be used on that worker alone. Callbacks that
 * they make come without the core's care: each begins with mk_callback_begin and ends with mk_callback_end, between which all
 * is as in the core's own callbacks. Nesting is fine.
 */
struct event_base;
MK_API struct event_base *mk_worker_base(struct mk_worker *w);
MK_API void mk_callback_begin(void);
MK_API void mk_callback_end(void);

/* Runs fn(arg) once on every worker and returns when all have. Main thread. */
MK_API void mk_workers_run(mk_task_fn fn, void *arg);

/* fn(ptr) after every read section that is open now has ended: to free what readers may still hold.
 * Runs on a thread of its own: it must only free. Any thread. */
MK_API void mk_rcu_defer(mk_task_fn fn, void *ptr);

/*
 * A thread of the module's own, for what blocks, to be joined by the module before it is unloaded. It gets no signals but those
 * of a crash. `name` has at most 15 bytes. 0, or an error number. Any thread.
 */
MK_API int mk_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *arg), void *arg) MK_NODISCARD;

MK_END
#endif
