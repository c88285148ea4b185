/*
 * Who may call: keys, the caller's own token, web pages, how often. Each part
 * does nothing until its setting is there.
 *
 * A key (API_KEYS) comes as "Authorization: Bearer KEY" or "X-Api-Key: KEY", a
 * token (REQUIRE_TOKEN) as "Authorization: agora token=TOKEN" or
 * "X-Agora-Token: TOKEN". Of a header that comes twice with different values,
 * and of two that say different things, none is believed.
 */
#ifndef FCGI_GATE_H
#define FCGI_GATE_H

struct exchange;
struct fail;
struct settings;

/*
 * What every request has to pass. Also notes in ${exchange}->request, for the
 * functions below, who calls and what token was shown.
 * Returns 0, or -1 with ${fail} set to FAIL_UNAUTHORIZED (no good key) or
 * FAIL_FORBIDDEN (a page that is not in ALLOWED_ORIGINS).
 */
int gate_enter(struct exchange *exchange, char **params, struct fail *fail);

/*
 * Was a token of ours for ${channel} and the user ${uid} shown? NULL for uid:
 * any user's. A NULL channel is one that the client left out.
 * Returns 0, or -1 with ${fail} set to FAIL_UNAUTHORIZED (none was shown),
 * FAIL_FORBIDDEN or, without a channel, FAIL_BAD_INPUT.
 */
int gate_token(const struct exchange *exchange, const struct settings *settings,
    const char *channel, const char *uid, struct fail *fail);

/*
 * Counts a start of the caller's address, of IPv6 its /64 network.
 * Returns 0, or -1 with ${fail} set to FAIL_LIMIT, which says when to try
 * again; refusals are not counted. FAIL_CONFIG: a CGI program cannot count
 * together with others.
 */
int gate_count_start(const struct exchange *exchange,
    const struct settings *settings, struct fail *fail);

#endif
