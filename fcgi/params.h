/*
 * CGI variables: "NAME=value" texts, NULL at the end. Of a request, or of the
 * process's environment, where they say how the program was started.
 */
#ifndef FCGI_PARAMS_H
#define FCGI_PARAMS_H

/* The value of ${name}, borrowed, or NULL. ${params} may be NULL. */
const char *params_get(char **params, const char *name);

#endif
