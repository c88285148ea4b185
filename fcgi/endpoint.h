/*
 * What an endpoint's program is: a name, a method, and a function that turns
 * a request into an answer. main() hands it to program_main().
 */
#ifndef FCGI_ENDPOINT_H
#define FCGI_ENDPOINT_H

#include <stdbool.h>
#include <stdio.h>

struct exchange;
struct fail;
struct http;
struct loop;
struct settings;

struct endpoint {
	const char *name;    /* "start_agent" */
	const char *summary; /* one line for --help */
	const char *method;  /* "GET", which serves HEAD too, or "POST" */
	bool text_plain;     /* text/plain is taken like application/json */

	/*
	 * http_new and http_free, or NULL for an endpoint that calls nobody;
	 * named here so that only those who call link libcurl.
	 */
	struct http *(*open)(struct loop *loop, struct fail *fail);
	void (*close)(struct http *http);

	/*
	 * Answers ${exchange}: calls exchange_succeed(), _with() or
	 * exchange_fail() exactly once, now or from the loop later. Texts of
	 * the request are valid until then, its body only until serve()
	 * returns. ${http} is what open() made.
	 */
	void (*serve)(struct exchange *exchange, struct http *http);

	/*
	 * --check beyond the settings: says on ${out} whether the endpoint
	 * would work. Returns 0, or 1 if not. NULL: nothing to check.
	 */
	int (*check)(const struct settings *settings, FILE *out);
};

#endif
