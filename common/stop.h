/*
 * Stops an agent: carries out stop_policy.h's decisions over agora.h.
 */
#ifndef COMMON_STOP_H
#define COMMON_STOP_H

#include <stddef.h>
#include <stdint.h>

struct agora;
struct fail;
struct settings;

/*
 * Stops the agent ${agent_id} within ${budget_ms}, on the ${first_host}th of
 * the hosts first (region.h): where it was started, or 0. ${now} is seconds since
 * 1970. ${settings} is kept until the stop is over.
 * ${done} is called exactly once, from the loop, with NULL when the agent does
 * not run any more, else with the reason: FAIL_NOT_FOUND when there is no such
 * agent.
 * Returns 0, or -1 with ${fail} set and ${done} never called: the id is not
 * legal, or memory ran out.
 */
int stop_begin(struct agora *agora, struct settings *settings,
    const char *agent_id, size_t first_host, int64_t now, int64_t budget_ms,
    void (*done)(void *arg, const struct fail *fail), void *arg,
    struct fail *fail) __attribute__((warn_unused_result));

#endif
