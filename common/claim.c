#include "common/claim.h"
#include "common/shared.h"

/* How long the word of a process that was killed counts. */
#define TRY_MS (START_BUDGET_MS + 2000)
#define STOP_MS 15000 /* a stop, and a look that was under way meanwhile */

#define SWAPS_MAX 8 /* when others keep changing the same number */

static uint64_t
number(const struct claim *claim, int64_t now_ms)
{
	return SHARED_TIME(now_ms) | claim->random >> (32 - SHARED_LOW_BITS);
}

/* Whether ${number} is another start's, of ${since_ms} or later. */
static bool
others_since(uint64_t number, uint64_t mine, int64_t since_ms)
{
	return number != 0 && number != mine && SHARED_MS(number) >= since_ms;
}

static uint64_t
number_at(const struct claim *claim, uint64_t key)
{
	return claim->shared == NULL ? 0 : shared_get(claim->shared, key);
}

static void
take_back(struct claim *claim, uint64_t key, uint64_t *mine)
{
	if (*mine != 0)
		(void)shared_swap(claim->shared, key, *mine, 0);
	*mine = 0;
}

/* The key of one of the places for those that try; each costs two MACs. */
static uint64_t
try_key(const struct claim *claim, int i)
{
	char purpose[] = "try 0";

	purpose[4] = (char)('0' + i);
	return shared_key(claim->certificate, purpose, claim->name);
}

static bool
take(struct claim *claim, uint64_t key, uint64_t there, uint64_t mine)
{
	if (!shared_swap(claim->shared, key, there, mine))
		return false;
	claim->try_key = key;
	claim->try_mine = mine;
	return true;
}

/*
 * Takes the place that was left alone longest; a free one has the number 0, and
 * so comes first. Returns false when another start was faster there.
 */
static bool
take_oldest(struct claim *claim, uint64_t mine)
{
	uint64_t oldest_key = try_key(claim, 0);
	uint64_t oldest = number_at(claim, oldest_key);

	for (int i = 1; i < CLAIM_TRIES && oldest != 0; i++) {
		uint64_t key = try_key(claim, i);
		uint64_t there = number_at(claim, key);

		if (there < oldest) {
			oldest = there;
			oldest_key = key;
		}
	}
	return take(claim, oldest_key, oldest, mine);
}

void
claim_take(struct claim *claim, struct shared *shared, const char *certificate,
    const char *name, int64_t now_ms, uint32_t random)
{
	uint64_t mine;

	*claim = (struct claim){ .shared = shared,
		.certificate = certificate,
		.name = name,
		.random = random };
	if (shared == NULL)
		return;
	mine = number(claim, now_ms);
	/* Hardly ever is anybody there. */
	if (take(claim, try_key(claim, 0), 0, mine))
		return;
	for (int i = 0; i < SWAPS_MAX; i++)
		if (take_oldest(claim, mine))
			break;
}

static bool
others_try(const struct claim *claim, int64_t now_ms)
{
	for (int i = 0; i < CLAIM_TRIES; i++)
		if (others_since(number_at(claim, try_key(claim, i)),
			claim->try_mine, now_ms - TRY_MS))
			return true;
	return false;
}

static bool
others_have(const struct claim *claim, const char *agent_id)
{
	return number_at(claim,
		   shared_key(claim->certificate, "have", agent_id)) != 0;
}

static bool
others_stop(const struct claim *claim, const char *agent_id, int64_t now_ms)
{
	uint64_t key = shared_key(claim->certificate, "stop", agent_id);

	return others_since(number_at(claim, key), claim->stop_mine,
	    now_ms - STOP_MS);
}

enum start_others
claim_others(const struct claim *claim, const char *agent_id, int64_t now_ms)
{
	/* First: who stops trying has said before that its client has it. */
	bool try = others_try(claim, now_ms);

	if (*agent_id != '\0' && others_have(claim, agent_id))
		return START_OTHERS_HAVE;
	if (*agent_id != '\0' && others_stop(claim, agent_id, now_ms))
		return START_OTHERS_STOP;
	return try ? START_OTHERS_TRY : START_OTHERS_NONE;
}

void
claim_have(struct claim *claim, const char *agent_id, int64_t now_ms)
{
	if (claim->shared != NULL)
		(void)shared_put(claim->shared,
		    shared_key(claim->certificate, "have", agent_id),
		    number(claim, now_ms));
}

void
claim_stop(struct claim *claim, const char *agent_id, int64_t now_ms)
{
	uint64_t there, mine = number(claim, now_ms);

	claim->stop_key = shared_key(claim->certificate, "stop", agent_id);
	there = number_at(claim, claim->stop_key);
	if (others_since(there, claim->stop_mine, now_ms - STOP_MS))
		return;
	claim->stop_mine = 0;
	if (claim->shared != NULL &&
	    shared_swap(claim->shared, claim->stop_key, there, mine))
		claim->stop_mine = mine;
}

void
claim_stop_not(struct claim *claim)
{
	take_back(claim, claim->stop_key, &claim->stop_mine);
}

void
claim_drop(struct claim *claim)
{
	take_back(claim, claim->try_key, &claim->try_mine);
}
