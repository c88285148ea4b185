/*
 * The listening socket: found, made, vetted.
 */
#ifndef FCGI_LISTEN_H
#define FCGI_LISTEN_H

#include <stdbool.h>

struct fail;

struct listener {
	int fd;
	bool unix_socket;
	const char *path; /* of a socket we made, to be removed, or NULL */
	const char *server_addrs; /* FCGI_WEB_SERVER_ADDRS, or NULL */
};

/*
 * Looks for a socket that was handed to us: systemd's first descriptor
 * (LISTEN_PID and LISTEN_FDS, sd_listen_fds(3)), then descriptor 0 if it is
 * listening (mod_fcgid, spawn-fcgi, our own parent).
 * Returns true with ${listener} filled in, or false.
 */
bool listener_inherited(struct listener *listener, char **environment);

/*
 * Makes a unix socket at ${path}, mode 0660, backlog as large as the kernel
 * allows. A file left by a dead program is replaced; one that answers is not.
 * Returns 0, or -1 with ${fail} set.
 */
int listener_make(struct listener *listener, const char *path,
    struct fail *fail) __attribute__((warn_unused_result));

/*
 * Makes a socket, inherited or made, fit for use: non-blocking, close on exec.
 * An abstract one is refused, and TCP unless FCGI_WEB_SERVER_ADDRS says who may
 * connect (FastCGI specification, 3.2).
 * Returns 0, or -1 with ${fail} set.
 */
int listener_prepare(struct listener *listener, char **environment,
    struct fail *fail) __attribute__((warn_unused_result));

/*
 * Accepts one connection, non-blocking, close on exec. Peers that are not
 * allowed are closed.
 * Returns a descriptor, or -1 with errno set (EAGAIN: none is waiting).
 */
int listener_accept(const struct listener *listener);

/* Removes the socket file if we made it: no new client finds us. */
void listener_hide(struct listener *listener);

#endif
