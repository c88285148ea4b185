#include <inttypes.h>
#include <string.h>

#include "common/buf.h"
#include "common/metrics.h"
#include "common/region.h"
#include "fcgi/answer.h"
#include "fcgi/endpoint.h"
#include "fcgi/exposition.h"
#include "fcgi/service.h"

#define PREFIX "agora_agent_"
#define SECONDS "%" PRIu64 ".%06" PRIu64
#define SECONDS_OF(us) (us) / 1000000, (us) % 1000000

static void
family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A family with one sample without labels. */
static void
number(struct buf *out, const char *name, const char *type, const char *help,
    uint64_t value)
{
	family(out, name, type, help);
	buf_format(out, "%s %" PRIu64 "\n", name, value);
}

static void
requests(const char *endpoint, const struct metrics_totals *total,
    struct buf *out)
{
	family(out, PREFIX "requests_total", "counter",
	    "Requests answered, by HTTP status and what came of them.");
	for (int kind = 0; kind < METRICS_FAILS; kind++)
		buf_format(out,
		    PREFIX "requests_total{endpoint=\"%s\",status=\"%d\","
			   "outcome=\"%s\"} %" PRIu64 "\n",
		    endpoint, answer_status((enum fail_kind)kind),
		    fail_name((enum fail_kind)kind), total->requests[kind]);
}

static void
histogram(const char *name, const char *help, const char *endpoint,
    const int64_t *bounds, const struct metrics_times *times, struct buf *out)
{
	uint64_t count = 0;

	family(out, name, "histogram", help);
	for (int i = 0; i < METRICS_BOUNDS - 1; i++) {
		count += times->count[i];
		buf_format(out,
		    "%s_bucket{endpoint=\"%s\",le=\"" SECONDS "\"} %" PRIu64
		    "\n",
		    name, endpoint, SECONDS_OF((uint64_t)bounds[i]), count);
	}
	count += times->count[METRICS_BOUNDS - 1];
	buf_format(out,
	    "%s_bucket{endpoint=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
	    "%s_sum{endpoint=\"%s\"} " SECONDS "\n"
	    "%s_count{endpoint=\"%s\"} %" PRIu64 "\n",
	    name, endpoint, count, name, endpoint, SECONDS_OF(times->sum_us),
	    name, endpoint, count);
}

static void
calls(const struct metrics_totals *total, struct buf *out)
{
	static const char *const call[METRICS_CALLS] = {
		[AGORA_JOIN] = "join",
		[AGORA_LEAVE] = "leave",
		[AGORA_GET] = "get",
		[AGORA_LIST] = "list",
	};
	static const char *const outcome[METRICS_CLASSES] = {
		[AGORA_DONE] = "done",
		[AGORA_NOT_PROCESSED] = "not_processed",
		[AGORA_LATER] = "later",
		[AGORA_UNKNOWN] = "unknown",
		[AGORA_FINAL] = "refused",
	};

	family(out, PREFIX "agora_calls_total", "counter",
	    "Calls to Agora that ended, by what is known of them.");
	for (int i = 0; i < METRICS_CALLS; i++)
		for (int j = 0; j < METRICS_CLASSES; j++)
			buf_format(out,
			    PREFIX "agora_calls_total{call=\"%s\","
				   "outcome=\"%s\"} %" PRIu64 "\n",
			    call[i], outcome[j], total->calls[i][j]);
}

static void
hosts(const struct settings *settings, int64_t now_ms, struct buf *out)
{
	char base[REGION_URL_SIZE];
	const char *host;

	family(out, PREFIX "agora_host_shut_processes", "gauge",
	    "Processes that leave this host alone because it failed.");
	for (size_t i = 0; i < region_count(settings); i++) {
		region_base(settings, i, base);
		host = base + strlen("https://");
		buf_format(out,
		    PREFIX "agora_host_shut_processes{host=\"%.*s\"} %u\n",
		    (int)strcspn(host, "/"), host, metrics_shut(base, now_ms));
	}
}

/* What only programs that call Agora have. */
static void
agora(const struct service *service, const struct metrics *sum, int64_t now_ms,
    struct buf *out)
{
	static const int64_t bounds[METRICS_BOUNDS] = METRICS_AGORA_BOUNDS;

	histogram(PREFIX "request_agora_seconds",
	    "How long requests that called Agora waited for it.",
	    service->endpoint->name, bounds, &sum->total.agora, out);
	calls(&sum->total, out);
	if (sum->last != METRICS_NO_CALL) {
		family(out, PREFIX "agora_last_call_age_seconds", "gauge",
		    "Time since the last call to Agora ended.");
		buf_format(out,
		    PREFIX "agora_last_call_age_seconds %" PRId64 "\n",
		    (now_ms - sum->last_ms) / 1000);
	}
	hosts(service->settings, now_ms, out);
	if (!service->endpoint->agents)
		return;
	number(out, PREFIX "starts_in_flight", "gauge",
	    "Starts that are not over, answered or not.", sum->starts);
	number(out, PREFIX "orphans_possible_total", "counter",
	    "Starts after which an agent may run that nobody knows.",
	    sum->total.orphans);
}

void
exposition_write(const struct service *service, const struct metrics *sum,
    int64_t now_ms, struct buf *out)
{
	static const int64_t bounds[METRICS_BOUNDS] = METRICS_OWN_BOUNDS;
	const char *endpoint = service->endpoint->name;

	family(out, PREFIX "build_info", "gauge", "The version, as a label.");
	buf_format(out,
	    PREFIX "build_info{endpoint=\"%s\",version=\"" VERSION "\"} 1\n",
	    endpoint);
	number(out, "process_start_time_seconds", "gauge",
	    "When the program was started, in seconds since 1970.",
	    (uint64_t)sum->since);
	number(out, PREFIX "processes_started_total", "counter",
	    "Processes that served, one after the other or together.",
	    sum->processes);
	requests(endpoint, &sum->total, out);
	histogram(PREFIX "request_own_seconds",
	    "How long requests took, without the time that they waited for "
	    "Agora.",
	    endpoint, bounds, &sum->total.own, out);
	if (service->agora != NULL)
		agora(service, sum, now_ms, out);
	number(out, PREFIX "log_lines_lost_total", "counter",
	    "Lines of log that nobody read in time.", sum->total.lost_lines);
}
