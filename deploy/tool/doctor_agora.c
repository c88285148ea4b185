/*
 * The way to Agora, and what it says to a harmless question.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/agora.h"
#include "common/region.h"
#include "common/settings.h"
#include "deploy/tool/doctor.h"
#include "fcgi/probe.h"

#define CLOCK_SKEW_S 60 /* more is wrong; as in --check's words */

/* The host of the ${i}th base URL, without its port. */
static void
host_of(const struct settings *settings, size_t i,
    char host[static REGION_URL_SIZE])
{
	char base[REGION_URL_SIZE];
	const char *start, *end;

	region_base(settings, i, base);
	start = strstr(base, "://");
	start = start != NULL ? start + 3 : base;
	if (*start == '[') { /* an address of IPv6 */
		start++;
		end = start + strcspn(start, "]");
	} else {
		end = start + strcspn(start, ":/");
	}
	snprintf(host, REGION_URL_SIZE, "%.*s", (int)(end - start), start);
}

/* What is wrong with the name ${host}, NULL: nothing. */
static const char *
look_up(const char *host)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(host, NULL, &hints, &found);

	if (rc != 0)
		return gai_strerror(rc);
	freeaddrinfo(found);
	return NULL;
}

/* Answers whether one of the hosts has an address. */
static bool
check_names(struct doctor *doctor)
{
	const struct settings *settings = doctor->settings;
	size_t count = region_count(settings), good = 0;
	const char *wrong[4] = { NULL }; /* region_count() is at most that */
	char host[REGION_URL_SIZE];

	/* As the programs' limits, not half a minute for each. */
	setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
	for (size_t i = 0; i < count; i++) {
		host_of(settings, i, host);
		wrong[i] = look_up(host);
		good += wrong[i] == NULL;
	}
	for (size_t i = 0; i < count && good > 0; i++) {
		host_of(settings, i, host);
		if (wrong[i] != NULL)
			doctor_find(doctor, DOCTOR_DNS_PARTLY, host, "%s",
			    wrong[i]);
	}
	host_of(settings, 0, host);
	if (good == 0)
		doctor_find(doctor, DOCTOR_DNS, host, "%s", wrong[0]);
	else
		doctor_good(doctor, "dns", "%zu of %zu host%s found", good,
		    count, count == 1 ? "" : "s");
	return good > 0;
}

static bool
is_refusal(const struct agora_answer *answer)
{
	return answer->status == 401 || answer->status == 403;
}

static bool
clock_wrong(const struct agora_answer *answer)
{
	return answer->clock_ahead > CLOCK_SKEW_S ||
	    answer->clock_ahead < -CLOCK_SKEW_S;
}

static void
say_clock(struct doctor *doctor, const struct agora_answer *answer)
{
	long long ahead = answer->clock_ahead;

	doctor_find(doctor, DOCTOR_CLOCK, "the clock", "%lld s %s Agora's",
	    ahead > 0 ? ahead : -ahead, ahead > 0 ? "ahead of" : "behind");
}

/* What an answer, or none, that is no success is called. */
static enum doctor_code
code_of(const struct agora_answer *answer)
{
	const char *reason = answer->fail.upstream_reason;

	if (strcmp(reason, "upstream_tls") == 0)
		return DOCTOR_CA_BUNDLE;
	if (answer->status == 0)
		return DOCTOR_AGORA_UNREACHABLE;
	if (strcasecmp(reason, "ServiceNotEnabled") == 0)
		return DOCTOR_SERVICE_NOT_ENABLED;
	if (answer->status == 401)
		return DOCTOR_CREDENTIALS;
	if (answer->status == 404)
		return DOCTOR_AREA;
	return DOCTOR_AGORA_REFUSED;
}

/* ${i} is the host that gave it. */
static void
check_answer(struct doctor *doctor, const struct agora_answer *answer, size_t i)
{
	char host[REGION_URL_SIZE];

	host_of(doctor->settings, i, host);
	if (clock_wrong(answer))
		say_clock(doctor, answer);
	else if (answer->status != 0)
		doctor_good(doctor, "clock", "as Agora's");
	if (answer->class == AGORA_DONE)
		doctor_good(doctor, "agora",
		    "%s accepts app id and certificate", host);
	else if (!clock_wrong(answer) || !is_refusal(answer))
		doctor_find(doctor, code_of(answer), host, "%s",
		    answer->fail.text);
}

void
doctor_check_agora(struct doctor *doctor)
{
	struct agora_answer answer;
	struct fail fail = { 0 };
	size_t host;

	if (doctor->offline)
		doctor_skip(doctor, "agora", "--offline");
	else if (doctor->settings == NULL)
		doctor_skip(doctor, "agora", "there are no usable settings");
	else if (!check_names(doctor))
		doctor_skip(doctor, "agora", "its hosts have no addresses");
	else if (probe_ask(doctor->settings, &answer, &host, &fail) == -1)
		doctor_skip(doctor, "agora", "cannot be asked: %s", fail.text);
	else
		check_answer(doctor, &answer, host);
}
