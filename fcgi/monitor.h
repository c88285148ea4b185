/*
 * What monitoring asks a program: does it answer, can it work, what has it
 * counted.
 *
 * The web server asks, by a variable that no client can set (of a request's
 * headers come HTTP_… alone): a path would be the client's. Who may ask is so
 * the web server's to say; keys and the like (gate.h) are not asked for.
 */
#ifndef FCGI_MONITOR_H
#define FCGI_MONITOR_H

struct exchange;

#define MONITOR_VARIABLE "AGORA_AGENT_MONITOR"

/*
 * A bad outcome of the last call to Agora counts for so long. Without a limit
 * a host that gets no requests because it is not ready would never be ready.
 */
#define MONITOR_BAD_MS 60000

/*
 * Answers ${question}, the value of MONITOR_VARIABLE; ${exchange} is over:
 * - "healthz": 200 {"status":"ok"}
 * - "readyz": 200 {"status":"ready"}, or 503 {"status":"not ready"} with a
 *   "reason": settings or the agent that is started by default are not usable,
 *   or the last call to Agora failed, or was refused (401, 403). Calls
 *   nobody. Programs that call Agora add what came of the last call, of
 *   whichever worker, and how many hosts some worker leaves alone (health.h).
 * - "metrics": what metrics.h counts, as Prometheus reads it, version 0.0.4 of
 *   its text format
 * - another one: 404
 * It is not counted as a request, and logged at the level debug.
 */
void monitor_answer(struct exchange *exchange, const char *question);

#endif
