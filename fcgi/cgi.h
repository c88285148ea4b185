/*
 * Plain CGI (RFC 3875): one request from environment and standard input.
 */
#ifndef FCGI_CGI_H
#define FCGI_CGI_H

struct service;

/*
 * Answers the request in ${environment} on standard output.
 * Returns the process's exit status: 0 when an answer was written, else 1.
 */
int cgi_serve(struct service *service, char **environment);

#endif
