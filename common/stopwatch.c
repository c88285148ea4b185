#include "common/stopwatch.h"
#include "common/sys.h"

void
stopwatch_go(struct stopwatch *watch)
{
	stopwatch_stop(watch);
	watch->since_us = sys_monotonic_us();
}

void
stopwatch_stop(struct stopwatch *watch)
{
	watch->sum_us = stopwatch_us(watch);
	watch->since_us = 0;
}

int64_t
stopwatch_us(const struct stopwatch *watch)
{
	if (watch->since_us == 0)
		return watch->sum_us;
	return watch->sum_us + sys_monotonic_us() - watch->since_us;
}
