/*
 * --check's question to Agora, and the doctor's.
 */
#ifndef FCGI_PROBE_H
#define FCGI_PROBE_H

#include <stddef.h>
#include <stdio.h>

struct agora_answer;
struct fail;
struct settings;

/*
 * Asks Agora for one running agent, which changes and costs nothing, on one of
 * its hosts after the other until one is there. Takes up to 12 seconds.
 * Returns 0 with ${answer} filled in, but for ->said, and ${host} the one that
 * gave it, by its region_base(), 0 if none is there; or -1 with ${fail} set.
 */
int probe_ask(const struct settings *settings, struct agora_answer *answer,
    size_t *host, struct fail *fail) __attribute__((warn_unused_result));

/*
 * The same in words: says on ${out} whether Agora accepts us.
 * Returns 0; or 1 when Agora refuses. That it cannot be reached is only said:
 * it may be the moment, not the set-up.
 */
int probe_agora(const struct settings *settings, FILE *out);

#endif
