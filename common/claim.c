#include <stdio.h>

#include "common/claim.h"
#include "common/shared.h"

#define RANDOM_BITS 20 /* of a number; the rest is its time, monotonic ms */
#define TRY_MS (START_BUDGET_MS + 2 * START_CLEANUP_MS) /* the longest start */
#define STOP_MS 15000 /* longer than a stop takes */
/* An agent that a client got earlier is known to be older than this start. */
#define HAVE_BEFORE_MS 6000
#define SWAPS_MAX 8 /* when others keep changing the same number */

static uint64_t
number(const struct claim *claim, int64_t now_ms)
{
	return (uint64_t)now_ms << RANDOM_BITS |
	    claim->random >> (32 - RANDOM_BITS);
}

/* Whether ${number} is another start's, of ${since_ms} or later. */
static bool
others_since(uint64_t number, uint64_t mine, int64_t since_ms)
{
	return number != 0 && number != mine &&
	    (int64_t)(number >> RANDOM_BITS) >= since_ms;
}

static uint64_t
number_at(const struct claim *claim, uint64_t key)
{
	return claim->shared == NULL ? 0 : shared_get(claim->shared, key);
}

/* Puts ${number} there, whoever's was there before; returns it, or 0. */
static uint64_t
put(struct claim *claim, uint64_t key, uint64_t number)
{
	int i;

	if (claim->shared == NULL)
		return 0;
	for (i = 0; key != 0 && i < SWAPS_MAX; i++)
		if (shared_swap(claim->shared, key, number_at(claim, key),
			number))
			return number;
	return 0;
}

static void
take_back(struct claim *claim, uint64_t key, uint64_t *mine)
{
	if (*mine != 0)
		(void)shared_swap(claim->shared, key, *mine, 0);
	*mine = 0;
}

static void
make_keys(struct claim *claim, const char *certificate, const char *name)
{
	char purpose[] = "try 0";

	for (int i = 0; i < CLAIM_TRIES; i++) {
		purpose[4] = (char)('0' + i);
		claim->try_key[i] = shared_key(certificate, purpose, name);
	}
	claim->have_key = shared_key(certificate, "have", name);
	claim->stop_key = shared_key(certificate, "stop", name);
}

void
claim_take(struct claim *claim, struct shared *shared, const char *certificate,
    const char *name, int64_t now_ms, uint32_t random)
{
	uint64_t oldest = UINT64_MAX;

	*claim = (struct claim){ .shared = shared,
		.began_ms = now_ms,
		.random = random };
	make_keys(claim, certificate, name);
	/* A free place has the number 0, and so is the oldest. */
	for (int i = 0; i < CLAIM_TRIES; i++) {
		uint64_t there = number_at(claim, claim->try_key[i]);

		if (there < oldest) {
			oldest = there;
			claim->my_try_key = claim->try_key[i];
		}
	}
	claim->try_mine = put(claim, claim->my_try_key, number(claim, now_ms));
}

static bool
others_try(const struct claim *claim, int64_t since_ms)
{
	for (int i = 0; i < CLAIM_TRIES; i++)
		if (others_since(number_at(claim, claim->try_key[i]),
			claim->try_mine, since_ms))
			return true;
	return false;
}

enum start_others
claim_others(const struct claim *claim, int64_t now_ms)
{
	if (others_since(number_at(claim, claim->have_key), claim->have_mine,
		claim->began_ms - HAVE_BEFORE_MS))
		return START_OTHERS_HAVE;
	if (others_since(number_at(claim, claim->stop_key), claim->stop_mine,
		now_ms - STOP_MS))
		return START_OTHERS_STOP;
	return others_try(claim, now_ms - TRY_MS) ? START_OTHERS_TRY :
						    START_OTHERS_NONE;
}

void
claim_have(struct claim *claim, int64_t now_ms)
{
	claim->have_mine = put(claim, claim->have_key, number(claim, now_ms));
}

void
claim_have_not(struct claim *claim)
{
	take_back(claim, claim->have_key, &claim->have_mine);
}

void
claim_stop(struct claim *claim, int64_t now_ms)
{
	claim->stop_mine = put(claim, claim->stop_key, number(claim, now_ms));
}

void
claim_stop_not(struct claim *claim)
{
	take_back(claim, claim->stop_key, &claim->stop_mine);
}

void
claim_drop(struct claim *claim)
{
	take_back(claim, claim->stop_key, &claim->stop_mine);
	take_back(claim, claim->my_try_key, &claim->try_mine);
}
