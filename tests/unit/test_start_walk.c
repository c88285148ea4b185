/*
 * Starts of one name, several at a time, over a model of Agora and of a
 * network that loses, delays and refuses: random walks of the real drivers.
 * WALKS in the environment says how many.
 */
#include "tests/unit/wire.h"
#include "tests/unit/one_agent.h"

#include "common/agent.h"
#include "common/shared.h"
#include "common/start.h"
#include "common/start_policy.h"

#define WALKS "20000"
#define STEPS_MAX 3000
#define CLIENTS_MAX 4
#define AGENTS_MAX 32
#define FLIGHTS_MAX 256
#define BODY_SIZE 1024
#define NEVER INT64_MAX

struct client {
	struct start *start; /* NULL: not begun, or told */
	int64_t comes_ms, leaves_ms;
	bool deaf; /* does not take the answer */
	int answers;
	int64_t came_ms;
};

struct agent {
	char id[24];
	char name[AGENT_NAME_SIZE];
	char host[64];
	bool alive;
	bool burnt; /* has ended, but its name is not free */
	bool told;  /* a client has it */
	bool stop_tried;
	bool late; /* made when its start may have been over */
	int64_t born_ms;
	int64_t runs_ms; /* it is STARTING until then */
};

/* What becomes of a call: at Agora, and here. */
struct flight {
	struct wire_call call;
	int64_t arrives_ms; /* NEVER: not, or already */
	int64_t ends_ms;    /* NEVER: has ended */
	bool heard;         /* what Agora answers gets through */
	struct http_result result;
	char body[BODY_SIZE];
	/*
	 * The connection of a join died, and libcurl sends it again: Agora may
	 * have seen the first, too.
	 */
	bool resent;
	bool turned_away; /* the last of them */
};

static struct world {
	uint64_t seed;
	uint32_t trouble; /* percent of calls */
	bool slow;        /* lost joins are carried out much later */
	struct client client[CLIENTS_MAX];
	size_t clients;
	struct agent agent[AGENTS_MAX];
	size_t agents;
	struct flight flight[FLIGHTS_MAX];
	size_t flights;
} world;

static struct settings settings;
static uint64_t stops, orphans, shared_agents, forgotten;

static uint32_t
dice(uint32_t sides)
{
	world.seed ^= world.seed << 13;
	world.seed ^= world.seed >> 7;
	world.seed ^= world.seed << 17;
	return (uint32_t)((world.seed >> 20) % sides);
}

static bool
chance(uint32_t percent)
{
	return dice(100) < percent;
}

/* ---- Agora -------------------------------------------------------------- */

static struct agent *
agent_with_id(const char *id)
{
	for (size_t i = 0; i < world.agents; i++)
		if (strcmp(world.agent[i].id, id) == 0)
			return &world.agent[i];
	return NULL;
}

static struct agent *
agent_named(const char *name, const char *host)
{
	for (size_t i = 0; i < world.agents; i++) {
		struct agent *agent = &world.agent[i];

		if ((agent->alive || agent->burnt) &&
		    strcmp(agent->name, name) == 0 &&
		    strcmp(agent->host, host) == 0)
			return agent;
	}
	return NULL;
}

static struct agent *
make_agent(const char *name, const char *host)
{
	struct agent *agent = &world.agent[world.agents];

	assert_true(world.agents < AGENTS_MAX);
	world.agents++;
	*agent = (struct agent){ .alive = true,
		.born_ms = wire.ms,
		.runs_ms = wire.ms + (chance(30) ? dice(3000) : 0) };
	snprintf(agent->id, sizeof(agent->id), "X%zu", world.agents);
	wire_copy(agent->name, sizeof(agent->name), name);
	wire_copy(agent->host, sizeof(agent->host), host);
	return agent;
}

static long
born_ts(const struct agent *agent)
{
	return (long)(WIRE_NOW + (agent->born_ms - WIRE_T0) / 1000);
}

/* Copies what is between ${before} and ${after} in ${text}. */
static void
cut_out(const char *text, const char *before, char after, char *out,
    size_t size)
{
	const char *start = strstr(text, before);
	size_t len;

	assert_non_null(start);
	start += strlen(before);
	len = strcspn(start, (char[]){ after, '\0' });
	assert_true(len < size);
	memcpy(out, start, len);
	out[len] = '\0';
}

static void
say(struct flight *flight, int status)
{
	flight->result = wire_answer(status, flight->body);
	flight->result.date = WIRE_NOW + (wire.ms - WIRE_T0) / 1000;
}

static void
do_join(struct flight *flight)
{
	char name[AGENT_NAME_SIZE], host[64];
	struct agent *agent;
	bool twin;

	cut_out(flight->call.body, "\"name\":\"", '"', name, sizeof(name));
	cut_out(flight->call.url, "https://", '/', host, sizeof(host));
	agent = agent_named(name, host);
	twin = agent != NULL;
	if (!twin) {
		agent = make_agent(name, host);
		agent->late = flight->ends_ms == NEVER &&
		    (world.clients > 1 || agora_working(&agora) == 0);
	} else if (chance(30))
		agent = NULL; /* a conflict that does not say with whom */
	snprintf(flight->body, BODY_SIZE, "{\"agent_id\":\"%s\"}",
	    agent == NULL ? "" : agent->id);
	say(flight, twin ? 409 : 200);
}

static void
do_leave(struct flight *flight)
{
	char id[AGORA_ID_SIZE];
	struct agent *agent;

	cut_out(flight->call.url, "/agents/", '/', id, sizeof(id));
	agent = agent_with_id(id);
	assert_non_null(agent);
	assert_false(agent->told);
	snprintf(flight->body, BODY_SIZE, "{\"reason\":\"TaskNotFound\"}");
	say(flight, agent->alive ? 200 : 404);
	agent->burnt = agent->alive && chance(30);
	agent->alive = false;
}

static void
do_get(struct flight *flight)
{
	char id[AGORA_ID_SIZE];
	struct agent *agent;
	const char *status;

	cut_out(flight->call.url, "/agents/", '/', id, sizeof(id));
	agent = agent_with_id(id);
	assert_non_null(agent);
	status = !agent->alive       ? "STOPPED" :
	    agent->runs_ms > wire.ms ? "STARTING" :
				       "RUNNING";
	snprintf(flight->body, BODY_SIZE,
	    "{\"name\":\"%s\",\"status\":\"%s\",\"start_ts\":%ld}", agent->name,
	    status, born_ts(agent));
	say(flight, 200);
}

static void
do_list(struct flight *flight)
{
	bool starting = strstr(flight->call.url, "state=1") != NULL;
	const char *comma = "";
	int len;

	len = snprintf(flight->body, BODY_SIZE, "{\"data\":{\"list\":[");
	for (size_t i = 0; i < world.agents; i++) {
		const struct agent *agent = &world.agent[i];

		if (!agent->alive || starting != (agent->runs_ms > wire.ms))
			continue;
		len += snprintf(flight->body + len, BODY_SIZE - (size_t)len,
		    "%s{\"agent_id\":\"%s\",\"start_ts\":%ld}", comma,
		    agent->id, born_ts(agent));
		comma = ",";
	}
	snprintf(flight->body + len, BODY_SIZE - (size_t)len, "]}}");
	say(flight, 200);
}

static void
arrive(struct flight *flight)
{
	struct http_result last = flight->result;

	flight->arrives_ms = NEVER;
	if (strstr(flight->call.url, "/join") != NULL) {
		do_join(flight);
		if (flight->resent && !flight->turned_away && chance(50))
			do_join(flight);
		if (flight->turned_away)
			flight->result = last;
		flight->result.resent = flight->resent;
	} else if (strstr(flight->call.url, "/leave") != NULL)
		do_leave(flight);
	else if (strstr(flight->call.url, "/agents/") != NULL)
		do_get(flight);
	else
		do_list(flight);
	if (!flight->heard)
		flight->result = wire_outcome(HTTP_BROKEN);
}

/* ---- the network -------------------------------------------------------- */

/* The call is refused on its way: Agora never sees it. */
static void
turn_away(struct flight *flight)
{
	static const int statuses[] = { 429, 503, 400 };

	flight->turned_away = true;
	if (!flight->resent)
		flight->arrives_ms = NEVER;
	else
		flight->arrives_ms = wire.ms;
	flight->ends_ms =
	    wire.ms + dice((uint32_t)flight->call.timeout_ms / 4 + 1);
	if (chance(40)) {
		flight->result =
		    wire_outcome(flight->resent ? HTTP_BROKEN : HTTP_NOT_SENT);
		return;
	}
	flight->result = wire_answer(statuses[dice(3)], flight->body);
	flight->result.retry_after = (int64_t)dice(6) - 1;
}

/* Something is lost: the call, or its answer. */
static void
lose(struct flight *flight)
{
	flight->heard = false;
	flight->result = wire_outcome(HTTP_BROKEN);
	if (chance(50))
		flight->ends_ms = wire.ms + flight->call.timeout_ms;
	if (chance(40))
		flight->arrives_ms = NEVER;
	else if (world.slow && chance(30))
		flight->arrives_ms = wire.ms + dice(30000);
}

/* Decides what becomes of a call that was just sent. */
static void
take_off(const struct wire_call *call)
{
	struct flight *flight = &world.flight[world.flights];
	uint32_t most = (uint32_t)call->timeout_ms;

	assert_true(world.flights < FLIGHTS_MAX);
	world.flights++;
	flight->call = *call;
	flight->body[0] = '\0';
	flight->heard = true;
	flight->turned_away = false;
	flight->resent = strstr(call->url, "/join") != NULL && !call->fresh &&
	    chance(world.trouble);
	flight->arrives_ms = wire.ms + dice(most / 2 + 1);
	flight->ends_ms = flight->arrives_ms + dice(most / 2 + 1);
	if (chance(world.trouble / 3))
		turn_away(flight);
	else if (chance(world.trouble))
		lose(flight);
	if (strstr(call->url, "/leave") != NULL) {
		char id[AGORA_ID_SIZE];

		cut_out(call->url, "/agents/", '/', id, sizeof(id));
		assert_false(agent_with_id(id)->told);
		agent_with_id(id)->stop_tried = true;
	}
}

static void
take_off_all(void)
{
	int known = world.flights == 0 ?
	    0 :
	    world.flight[world.flights - 1].call.number;

	for (size_t i = 0; i < wire.calls; i++)
		if (wire.call[i].number > known)
			take_off(&wire.call[i]);
}

static void
land(struct flight *flight)
{
	size_t i;

	flight->ends_ms = NEVER;
	for (i = 0; i < wire.calls; i++)
		if (wire.call[i].number == flight->call.number)
			break;
	wire_end_call(i, flight->result);
}

/* ---- clients ------------------------------------------------------------ */

static bool
answer(void *arg, const char *agent_id, const struct fail *fail)
{
	struct client *client = arg;
	struct agent *agent;

	client->answers++;
	assert_true(wire.ms - client->came_ms <= START_BUDGET_MS);
	client->start = NULL;
	assert_true((agent_id == NULL) == (fail != NULL));
	if (fail != NULL || client->deaf)
		return false;
	agent = agent_with_id(agent_id);
	assert_non_null(agent);
	shared_agents += agent->told;
	agent->told = true;
	return true;
}

static void
come(struct client *client)
{
	const struct agent_start agent = { .agent = one_agent,
		.channel = "room",
		.agent_uid = "58888506",
		.user_uid = "1234567",
		.own_channel = true };
	int64_t now = WIRE_NOW + (wire.ms - WIRE_T0) / 1000;

	client->start = start_begin(&agora, &settings, &agent, now, "req",
	    answer, client, NULL);
	assert_non_null(client->start);
}

/* ---- the walk ----------------------------------------------------------- */

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When the next thing happens, or NEVER. */
static int64_t
next_ms(void)
{
	const struct loop_timer *timer = wire_first_timer(NEVER - 1);
	int64_t next = timer == NULL ? NEVER : timer->due;

	for (size_t i = 0; i < world.flights; i++) {
		next = earlier(next, world.flight[i].arrives_ms);
		next = earlier(next, world.flight[i].ends_ms);
	}
	for (size_t i = 0; i < world.clients; i++) {
		const struct client *client = &world.client[i];

		next = earlier(next, client->comes_ms);
		if (client->start != NULL)
			next = earlier(next, client->leaves_ms);
	}
	return next;
}

static void
happen(struct client *client)
{
	if (client->comes_ms <= wire.ms) {
		come(client);
		client->comes_ms = NEVER;
		client->came_ms = wire.ms;
	} else if (client->start != NULL && client->leaves_ms <= wire.ms) {
		client->deaf = true;
		start_client_left(client->start);
	}
}

static void
step(int64_t at_ms)
{
	wire_pass(at_ms - wire.ms);
	take_off_all();
	for (size_t i = 0; i < world.flights; i++)
		if (world.flight[i].arrives_ms <= wire.ms)
			arrive(&world.flight[i]);
	for (size_t i = 0; i < world.flights; i++)
		if (world.flight[i].ends_ms <= wire.ms)
			land(&world.flight[i]);
	for (size_t i = 0; i < world.clients; i++)
		happen(&world.client[i]);
	take_off_all();
}

static void
walk(void)
{
	int64_t at_ms;
	int steps = 0;

	while ((at_ms = next_ms()) != NEVER) {
		assert_true(steps++ < STEPS_MAX);
		step(at_ms > wire.ms ? at_ms : wire.ms);
	}
}

static void
invite(struct client *client)
{
	int64_t comes_ms = wire.ms + dice(chance(70) ? 500 : 20000);

	*client = (struct client){ .comes_ms = comes_ms,
		.leaves_ms = chance(30) ? comes_ms + dice(20000) : NEVER,
		.deaf = chance(20) };
}

static void
begin(uint64_t seed)
{
	static char base[] = "https://127.0.0.1:8443/x", none[] = "";

	wire_reset();
	wire.random = (uint32_t)seed;
	memset(&world, 0, offsetof(struct world, flight));
	world.flights = 0;
	world.seed = seed * 0x9e3779b97f4a7c15u;
	agora.shared = shared_open(NULL, NULL);
	assert_non_null(agora.shared);
	settings.api_base_url = chance(50) ? base : none;
	world.trouble = dice(80);
	world.slow = chance(20);
	world.clients = 1 + dice(CLIENTS_MAX);
	for (size_t i = 0; i < world.clients; i++)
		invite(&world.client[i]);
}

/* Whether ${agent} runs without anybody who knows or may know of it. */
static bool
is_forgotten(const struct agent *agent)
{
	return agent->alive && !agent->told && !agent->stop_tried &&
	    !agent->late && wire.orphans == 0;
}

static void
check_end(uint64_t seed)
{
	bool one_host = settings.api_base_url[0] != '\0';

	wire_expect_nothing();
	for (size_t i = 0; i < world.clients; i++)
		assert_int_equal(world.client[i].answers, 1);
	for (size_t i = 0; i < world.agents; i++) {
		stops += world.agent[i].stop_tried;
		if (!is_forgotten(&world.agent[i]))
			continue;
		/* A name is a lock on its host alone; see test_walks(). */
		if (one_host)
			fail_msg("walk %ju: nobody knows of %s",
			    (uintmax_t)seed, world.agent[i].id);
		forgotten++;
	}
	orphans += wire.orphans != 0;
	shared_close(agora.shared);
}

/*
 * With several hosts there is one gap: a start looks for its agent on one
 * host, and finds another client's agent of the same name, made on another.
 */
static void
test_walks(void **state)
{
	const char *text = getenv("WALKS");
	uint64_t walks = strtoull(text == NULL ? WALKS : text, NULL, 10);

	(void)state;
	settings = wire_settings();
	one_agent_make(&settings);
	for (uint64_t seed = 1; seed <= walks; seed++) {
		begin(seed);
		walk();
		check_end(seed);
	}
	assert_true(forgotten <= walks / 1000);
	/* They are worth something: all ends are reached. */
	assert_true(stops > walks / 100);
	assert_true(orphans > walks / 1000);
	assert_true(shared_agents > walks / 100);
}

static int
free_agent(void **state)
{
	(void)state;
	one_agent_free();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walks),
	};

	return cmocka_run_group_tests(tests, NULL, free_agent);
}
