/*
 * --check's question to Agora.
 */
#ifndef FCGI_PROBE_H
#define FCGI_PROBE_H

#include <stdio.h>

struct settings;

/*
 * Asks Agora for one running agent, which changes nothing, and says on ${out}
 * whether it accepts us. Takes up to 9 seconds.
 * Returns 0; or 1 when Agora refuses. That it cannot be reached is only said:
 * it may be the moment, not the set-up.
 */
int probe_agora(const struct settings *settings, FILE *out);

#endif
