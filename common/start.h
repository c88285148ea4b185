/*
 * Starts an agent, once: carries out start_policy.h's decisions over agora.h,
 * and cleans up what nobody was told of.
 */
#ifndef COMMON_START_H
#define COMMON_START_H

#include <stdbool.h>
#include <stdint.h>

struct agent_start;
struct agora;
struct fail;
struct settings;
struct start;

/*
 * Starts ${agent}. ${now} is seconds since 1970 when the request came,
 * ${request_id} its name in the log. ${settings} and ${agent}->agent are kept
 * until the start is over, everything else is copied.
 * ${answer} is called exactly once, from the loop, within START_BUDGET_MS:
 * with the agent's id and NULL, or with NULL and the reason. It returns
 * whether the client took the answer; if not, the agent is stopped again.
 * Work may go on after that; agora_working() counts it.
 * Returns NULL with ${fail} set and ${answer} never called: FAIL_BUSY when
 * START_CONCURRENCY are under way, FAIL_INTERNAL when memory ran out.
 */
struct start *start_begin(struct agora *agora, struct settings *settings,
    const struct agent_start *agent, int64_t now, const char *request_id,
    bool (*answer)(void *arg, const char *agent_id, const struct fail *fail),
    void *arg, struct fail *fail) __attribute__((warn_unused_result));

/*
 * Says that the client is gone: ${answer} is called with a reason that nobody
 * will read, unless it was called already, and no agent is left behind.
 * Only before ${answer} was called.
 */
void start_client_left(struct start *start);

#endif
