#include <stddef.h>

#include "common/agents.h"
#include "common/fail.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/shared.h"
#include "common/sys.h"
#include "fcgi/endpoint.h"
#include "fcgi/service.h"

#define SETTINGS_CHECK_MS 1000

int
service_open(struct service *service, const struct endpoint *endpoint,
    struct fail *fail)
{
	service->endpoint = endpoint;
	service->loop = loop_new();
	service->source = settings_source_new("/proc/self/exe");
	service->agents = endpoint->agents ? agents_new(service->single) : NULL;
	if (service->loop == NULL || service->source == NULL ||
	    (endpoint->agents && service->agents == NULL))
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	service_reload(service);
	if (service->settings == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	if (endpoint->open != NULL) {
		service->agora = endpoint->open(service->loop, fail);
		if (service->agora == NULL)
			return -1;
	}
	return 0;
}

/* Without usable settings nothing is started, and half of them is missing. */
static void
load_agents(struct service *service)
{
	if (service->agents != NULL && service->settings->usable)
		agents_load(service->agents, service->settings,
		    service->source);
}

void
service_reload(struct service *service)
{
	struct settings *fresh = settings_load(service->source);

	service->settings_checked = sys_monotonic_ms();
	if (fresh == NULL) {
		log_error("settings: out of memory, keeping the old ones");
		return;
	}
	settings_free(service->settings);
	service->settings = fresh;
	load_agents(service);
}

/* The table in the first of the folders that will do. */
static struct shared *
open_first(char *const *folder, struct fail *fail)
{
	struct shared *shared = NULL;

	for (; shared == NULL && *folder != NULL; folder++) {
		*fail = (struct fail){ 0 };
		shared = shared_open(*folder, fail);
		if (shared == NULL)
			log_debug("STATE_DIR: %s", fail->text);
	}
	return shared;
}

struct shared *
service_shared(struct service *service)
{
	struct fail fail = { 0 };

	if (service->shared != NULL)
		return service->shared;
	service->shared = open_first(service->settings->state_dir, &fail);
	if (service->shared == NULL) {
		service->alone = true;
		log_warn("STATE_DIR: %s; this process counts for itself",
		    fail.text);
		service->shared = shared_open(NULL, NULL);
	}
	return service->shared;
}

void
service_refresh(struct service *service)
{
	int64_t now = sys_monotonic_ms();

	if (now - service->settings_checked < SETTINGS_CHECK_MS)
		return;
	service->settings_checked = now;
	if (settings_changed(service->source))
		service_reload(service);
	else if (service->agents != NULL && service->settings->usable &&
	    agents_changed(service->agents))
		agents_refresh(service->agents);
}

bool
service_at_rest(const struct service *service)
{
	return service->agora == NULL ||
	    service->endpoint->working(service->agora) == 0;
}

void
service_close(struct service *service)
{
	if (service->endpoint != NULL && service->endpoint->close != NULL)
		service->endpoint->close(service->agora);
	shared_close(service->shared);
	agents_free(service->agents);
	settings_free(service->settings);
	settings_source_free(service->source);
	loop_free(service->loop);
	*service = (struct service){ 0 };
}
