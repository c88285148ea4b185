#include <string.h>

#include "common/limit.h"
#include "common/num.h"
#include "common/shared.h"

#define TRIES 64 /* against others who take for the same key */
#define TRY_AGAIN_MS 1000
#define NUMBER_SIZE 8 /* bytes, with the NUL */

/* Reads the ${len} bytes at ${text}. */
static int
parse_part(const char *text, size_t len, int64_t max, uint32_t *number)
{
	char digits[NUMBER_SIZE] = { 0 };
	int64_t value;

	if (len >= sizeof(digits))
		return -1;
	memcpy(digits, text, len);
	if (num_parse(digits, 1, max, &value) == -1)
		return -1;
	*number = (uint32_t)value;
	return 0;
}

int
limit_parse(const char *text, struct limit *limit)
{
	const char *slash = strchr(text, '/');
	struct limit read;

	if (slash == NULL ||
	    parse_part(text, (size_t)(slash - text), LIMIT_COUNT_MAX,
		&read.count) == -1 ||
	    parse_part(slash + 1, strlen(slash + 1), LIMIT_SECONDS_MAX,
		&read.seconds) == -1)
		return -1;
	*limit = read;
	return 0;
}

/* All times are those of the table: SHARED_TIME(). */
int64_t
limit_take(const struct limit *limit, struct shared *shared, uint64_t key,
    int64_t now)
{
	uint64_t period = SHARED_TIME((int64_t)limit->seconds * 1000);
	uint64_t step = period / limit->count;
	uint64_t present = SHARED_TIME(now);
	uint64_t was, due;

	for (int i = 0; i < TRIES; i++) {
		was = shared_get(shared, key);
		due = was;
		if (due < present || due > present + period)
			due = present; /* long ago, or by another clock */
		if (due - present > period - step)
			return SHARED_MS(due - present - (period - step) +
			    SHARED_TIME(1) - 1);
		if (shared_swap(shared, key, was, due + step))
			return 0;
		if (shared_get(shared, key) == was)
			return 0; /* nobody was first: it cannot be written */
	}
	return TRY_AGAIN_MS;
}
