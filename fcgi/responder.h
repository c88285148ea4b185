/*
 * FastCGI: a listening socket, its connections, and the signals that stop it.
 * Many connections, one thread, one loop.
 */
#ifndef FCGI_RESPONDER_H
#define FCGI_RESPONDER_H

struct listener;
struct service;

/*
 * Serves ${service} on ${listener} until SIGTERM, SIGINT or SIGUSR1: then
 * accepts all that is queued, closes the listening socket, answers everything
 * that was accepted, and returns. SIGHUP reads the settings again.
 * Returns the process's exit status: 0, or 1 when the loop could not run.
 */
int responder_serve(struct service *service, struct listener *listener);

#endif
