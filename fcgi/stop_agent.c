/*
 * POST /v2/stopAgent: stops an agent by its id.
 */
#include "common/agora.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/settings.h"
#include "common/stop.h"
#include "common/stop_policy.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/gate.h"
#include "fcgi/probe.h"
#include "fcgi/program.h"
#include "fcgi/service.h"

static void
stopped(void *arg, const struct fail *fail)
{
	struct exchange *exchange = arg;

	exchange->agora_us = exchange->service->agora->waited_us;
	if (fail == NULL)
		exchange_succeed(exchange);
	else
		exchange_fail(exchange, fail);
}

/* Reads the agent id and hands it to Agora. */
static int
stop(struct exchange *exchange, struct agora *agora, struct fail *fail)
{
	struct settings *settings;
	struct json *body;
	const char *agent_id;
	int rc = -1;

	body = exchange_json(exchange, fail);
	if (body == NULL)
		return -1;
	agent_id = json_require_text(body, "agentId", fail);
	if (agent_id != NULL && agora_id_check(agent_id, fail) == 0 &&
	    (settings = exchange_settings(exchange, fail)) != NULL &&
	    gate_token(exchange, settings, json_text(body, "channelName"), NULL,
		fail) == 0)
		rc = stop_begin(agora, settings, agent_id, 0,
		    exchange->request.now, STOP_BUDGET_MS, stopped, exchange,
		    fail);
	json_free(body);
	return rc;
}

static void
serve(struct exchange *exchange, struct agora *agora)
{
	struct fail fail = { 0 };

	if (stop(exchange, agora, &fail) == -1)
		exchange_fail(exchange, &fail);
}

static const struct endpoint stop_agent = {
	.name = "stop_agent",
	.summary = "stops a voice agent by its id",
	.method = "POST",
	.text_plain = true, /* all that navigator.sendBeacon can send */
	.open = agora_new,
	.close = agora_free,
	.working = agora_working,
	.serve = serve,
	.check = probe_agora,
};

int
main(int argc, char *argv[])
{
	return program_main(argc, argv, &stop_agent);
}
