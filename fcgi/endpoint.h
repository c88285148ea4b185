/*
 * What an endpoint's program is: a name, a method, and a function that turns
 * a request into an answer. main() hands it to program_main().
 */
#ifndef FCGI_ENDPOINT_H
#define FCGI_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct agora;
struct exchange;
struct fail;
struct loop;
struct settings;

struct endpoint {
	const char *name;    /* "start_agent" */
	const char *summary; /* one line for --help */
	const char *method;  /* "GET", which serves HEAD too, or "POST" */
	bool text_plain;     /* text/plain is taken like application/json */

	/*
	 * agora_new, agora_free and agora_working, or NULL for an endpoint that
	 * calls nobody; named here so that only those who call link libcurl.
	 */
	struct agora *(*open)(struct loop *loop, struct fail *fail);
	void (*close)(struct agora *agora);
	size_t (*working)(const struct agora *agora);

	bool agents;  /* it starts some: their files are read */
	bool lingers; /* work may go on after the answer */

	/*
	 * Answers ${exchange}: calls exchange_succeed(), _with() or
	 * exchange_fail() exactly once, now or from the loop later. Texts of
	 * the request are valid until then, its body only until serve()
	 * returns. ${agora} is what open() made.
	 */
	void (*serve)(struct exchange *exchange, struct agora *agora);

	/*
	 * --check beyond the settings: says on ${out} whether the endpoint
	 * would work. Returns 0, or 1 if not. NULL: nothing to check.
	 */
	int (*check)(const struct settings *settings, FILE *out);
};

#endif
