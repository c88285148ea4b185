/*
 * Plain CGI (RFC 3875): one request from environment and standard input.
 */
#ifndef FCGI_CGI_H
#define FCGI_CGI_H

struct fail;
struct service;

/*
 * Answers the request in ${environment} on standard output.
 * Returns the process's exit status: 0 when an answer was written, else 1.
 */
int cgi_serve(struct service *service, char **environment);

/*
 * Answers ${fail} to whatever was asked, when there is nothing to serve it
 * with; of ${service}, only the endpoint is used.
 */
void cgi_refuse(struct service *service, const struct fail *fail);

#endif
