#include "common/region.h"
#include "common/settings.h"
#include "common/sys.h"
#include "deploy/tool/ask.h"
#include "deploy/tool/session.h"

#define TRIES 4
#define TRY_MS 5000
#define PAUSE_MS 300
#define LATER_S 2      /* where Agora does not say when */
#define LATER_MAX_S 30 /* or says more */

static void
ask_end(struct ask *ask, const struct agora_answer *answer)
{
	loop_timer_clear(ask->session->loop, &ask->timer);
	ask->done(ask, answer);
}

/* How long to wait before the next try. */
static int64_t
pause_ms(const struct ask *ask, const struct agora_answer *answer)
{
	int64_t s = answer->retry_after;

	if (answer->class != AGORA_LATER)
		return (int64_t)PAUSE_MS * ask->tries;
	if (s < 0)
		s = LATER_S;
	return 1000 * (s < LATER_MAX_S ? s : LATER_MAX_S);
}

static void
answered(void *arg, const struct agora_answer *answer)
{
	struct ask *ask = arg;

	/* Never too many: the greatest is the best that is known. */
	if (answer->status != 0 &&
	    answer->clock_ahead > ask->session->clock_ahead)
		ask->session->clock_ahead = answer->clock_ahead;
	if (answer->class == AGORA_DONE || answer->class == AGORA_FINAL ||
	    ++ask->tries == TRIES) {
		ask_end(ask, answer);
		return;
	}
	/* One that is busy will not be the only one. */
	if (answer->class != AGORA_LATER)
		ask->host =
		    (ask->host + 1) % region_count(ask->session->settings);
	/* Its memory is kept until the end, so that this cannot fail. */
	(void)!loop_timer_set(ask->session->loop, &ask->timer,
	    pause_ms(ask, answer));
}

static void
ask_now(struct loop_timer *timer)
{
	struct ask *ask = LOOP_OWNER(timer, struct ask, timer);
	struct agora_answer answer = { .class = AGORA_NOT_PROCESSED };
	struct agora_request *request = &ask->request;
	char base[REGION_URL_SIZE];

	/* Armed for ever: setting it again then needs no memory. */
	(void)!loop_timer_set(ask->session->loop, timer, INT64_MAX);
	region_base(ask->session->settings, ask->host, base);
	request->settings = ask->session->settings;
	request->base = base;
	request->timeout_ms = TRY_MS;
	request->now = sys_now();
	if (sys_random(&request->salt, sizeof(request->salt)) == -1) {
		fail_set(&answer.fail, FAIL_INTERNAL, "no random numbers");
		ask_end(ask, &answer);
		return;
	}
	request->salt |= 1; /* not 0 */
	if (agora_send(ask->session->agora, request, answered, ask,
		&answer.fail) == -1)
		ask_end(ask, &answer);
}

int
ask_begin(struct ask *ask)
{
	ask->tries = 0;
	ask->timer.expired = ask_now;
	return loop_timer_set(ask->session->loop, &ask->timer, 0);
}
