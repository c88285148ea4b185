/*
 * What one serving process has: its endpoint, loop, settings and state.
 */
#ifndef FCGI_SERVICE_H
#define FCGI_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

struct agents;
struct agora;
struct endpoint;
struct fail;
struct loop;
struct settings;
struct settings_source;
struct shared;

struct service {
	const struct endpoint *endpoint;
	struct loop *loop;
	struct agora *agora; /* NULL if the endpoint calls nobody */
	struct settings_source *source;
	struct settings *settings;
	struct agents *agents;    /* NULL if the endpoint starts none */
	int64_t settings_checked; /* monotonic ms */
	bool single;              /* this process serves one request: CGI */
	struct shared *shared;    /* service_shared() opens it */
	bool alone;               /* which no other process sees */
};

/*
 * Reads the settings and opens the endpoint. Bad settings do not fail.
 * Returns 0, or -1 with ${fail} set; service_close() is needed in both cases.
 */
int service_open(struct service *service, const struct endpoint *endpoint,
    struct fail *fail) __attribute__((warn_unused_result));

/* Reads settings and agents again if they have changed; looks once a second. */
void service_refresh(struct service *service);

/* Reads settings and agents again now. */
void service_reload(struct service *service);

/*
 * The table that this host's processes share, or, where no folder for it is of
 * use, one of this process ->alone; then the reason was logged once. NULL when
 * there is no memory. Opened at the first call, for good: another STATE_DIR
 * counts from the next start of the program on.
 */
struct shared *service_shared(struct service *service);

/* Answers whether nothing is under way at Agora, answered or not. */
bool service_at_rest(const struct service *service);

void service_close(struct service *service);

#endif
