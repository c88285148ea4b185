#include <string.h>

#include "common/agora.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/loop.h"
#include "common/sys.h"
#include "fcgi/probe.h"

struct probe {
	struct loop *loop;
	struct agora_answer answer;
};

static void
answered(void *arg, const struct agora_answer *answer)
{
	struct probe *probe = arg;

	probe->answer = *answer;
	loop_stop(probe->loop);
}

/* Returns 0 when there is an answer, or -1 with ${fail} set. */
static int
ask(struct probe *probe, struct http *http, const struct settings *settings,
    struct fail *fail)
{
	struct agora_salts salts = { .header = 1 };

	if (sys_random(&salts.header, sizeof(salts.header)) == -1)
		return fail_set(fail, FAIL_INTERNAL, "no random numbers");
	salts.header |= 1; /* not 0 */
	if (agora_list(http, settings, sys_now(), &salts, answered, probe,
		fail) == -1)
		return -1;
	if (loop_run(probe->loop) == -1)
		return fail_set(fail, FAIL_INTERNAL, "epoll failed");
	return 0;
}

int
probe_agora(const struct settings *settings, FILE *out)
{
	struct probe probe = { .loop = loop_new() };
	struct fail fail = { 0 };
	struct http *http = NULL;
	int status = 1;

	if (probe.loop != NULL)
		http = http_new(probe.loop, &fail);
	if (http == NULL || ask(&probe, http, settings, &fail) == -1) {
		fprintf(out, "agora: cannot be asked: %s\n", fail.text);
	} else if (probe.answer.class == AGORA_DONE) {
		fprintf(out, "agora: accepts app id and certificate\n");
		status = 0;
	} else {
		fprintf(out, "agora: %s\n", probe.answer.fail.text);
		status = probe.answer.fail.upstream_status != 0;
	}
	http_free(http);
	loop_free(probe.loop);
	return status;
}
