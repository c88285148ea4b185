#include "common/agora.h"
#include "common/fail.h"
#include "common/loop.h"
#include "common/region.h"
#include "common/sys.h"
#include "fcgi/probe.h"

#define PROBE_MS 3000 /* for each host */

struct probe {
	struct loop *loop;
	struct agora_answer answer;
	size_t host; /* whose it is */
};

static void
answered(void *arg, const struct agora_answer *answer)
{
	struct probe *probe = arg;

	probe->answer = *answer;
	probe->answer.said = NULL; /* it is gone in a moment */
	loop_stop(probe->loop);
}

/* Returns 0 when that host was asked, or -1 with ${fail} set. */
static int
ask_host(struct probe *probe, struct agora *agora,
    const struct settings *settings, size_t host, struct fail *fail)
{
	char base[REGION_URL_SIZE];
	struct agora_request request = { .call = AGORA_LIST,
		.settings = settings,
		.base = base,
		.timeout_ms = PROBE_MS,
		.now = sys_now() };

	region_base(settings, host, base);
	if (sys_random(&request.salt, sizeof(request.salt)) == -1)
		return fail_set(fail, FAIL_INTERNAL, "no random numbers");
	request.salt |= 1; /* not 0 */
	if (agora_send(agora, &request, answered, probe, fail) == -1)
		return -1;
	if (loop_run(probe->loop) == -1)
		return fail_set(fail, FAIL_INTERNAL, "epoll failed");
	return 0;
}

/* Asks one host after the other until one is there; that is ->host, else 0. */
static int
ask(struct probe *probe, struct agora *agora, const struct settings *settings,
    struct fail *fail)
{
	for (size_t host = 0; host < region_count(settings); host++) {
		if (ask_host(probe, agora, settings, host, fail) == -1)
			return -1;
		if (probe->answer.class != AGORA_NOT_PROCESSED) {
			probe->host = host;
			break;
		}
	}
	return 0;
}

int
probe_ask(const struct settings *settings, struct agora_answer *answer,
    size_t *host, struct fail *fail)
{
	struct probe probe = { .loop = loop_new() };
	struct agora *agora = NULL;
	int rc = -1;

	if (probe.loop == NULL)
		fail_set(fail, FAIL_INTERNAL, "out of memory");
	else
		agora = agora_new(probe.loop, fail);
	if (agora != NULL)
		rc = ask(&probe, agora, settings, fail);
	agora_free(agora);
	loop_free(probe.loop);
	*answer = probe.answer;
	*host = probe.host;
	return rc;
}

int
probe_agora(const struct settings *settings, FILE *out)
{
	struct agora_answer answer;
	struct fail fail = { 0 };
	size_t host;

	if (probe_ask(settings, &answer, &host, &fail) == -1) {
		fprintf(out, "agora: cannot be asked: %s\n", fail.text);
		return 1;
	}
	if (answer.class == AGORA_DONE) {
		fprintf(out, "agora: accepts app id and certificate\n");
		return 0;
	}
	fprintf(out, "agora: %s\n", answer.fail.text);
	return answer.status != 0;
}
