/*
 * For the benchmark: what a token costs, next to zlib's part in it: level 6
 * on a kept stream, over the payloads of the same tokens. Over one payload
 * again and again zlib takes half the time: the processor learns its branches.
 * Rounds alternate; prints the medians in ns of processor time, and their
 * ratio.
 *
 *   token_cost [ROUNDS]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ZLIB_CONST
#include <zlib.h>

#include "common/token.h"

#define CALLS 2000 /* per round */
#define ROUNDS_MAX 1000

static const char certificate[] = "fedcba9876543210fedcba9876543210";
static const struct token_claims example = {
	.app_id = "0123456789abcdef0123456789abcdef",
	.channel = "channel_1770199765_abcdefghijklmnopqrstuvwxyz23",
	.account = "1234567",
	.issue_ts = 1770199765,
	.expire = 86400,
};

static struct payload {
	uint8_t data[TOKEN_RAW_MAX];
	size_t len;
} payloads[CALLS];

static int64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t
tokens(void)
{
	struct token_claims claims = example;
	char token[TOKEN_SIZE];
	int64_t began = cpu_ns();

	for (uint32_t i = 1; i <= CALLS; i++) {
		claims.salt = i;
		if (token_build(&claims, certificate, token, NULL) == -1)
			exit(1);
	}
	return (cpu_ns() - began) / CALLS;
}

static void
keep_payloads(void)
{
	static struct token_parsed parsed;
	struct token_claims claims = example;
	char token[TOKEN_SIZE];

	for (uint32_t i = 1; i <= CALLS; i++) {
		claims.salt = i;
		if (token_build(&claims, certificate, token, NULL) == -1 ||
		    token_parse(token, &parsed, NULL) == -1)
			exit(1);
		payloads[i - 1].len = parsed.payload_len;
		memcpy(payloads[i - 1].data, parsed.payload,
		    parsed.payload_len);
	}
}

static int64_t
deflates(z_stream *stream)
{
	uint8_t out[2 * TOKEN_RAW_MAX];
	int64_t began = cpu_ns();

	for (int i = 0; i < CALLS; i++) {
		stream->next_in = payloads[i].data;
		stream->avail_in = (uInt)payloads[i].len;
		stream->next_out = out;
		stream->avail_out = sizeof(out);
		if (deflateReset(stream) != Z_OK ||
		    deflate(stream, Z_FINISH) != Z_STREAM_END)
			exit(1);
	}
	return (cpu_ns() - began) / CALLS;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t
median(int64_t *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

int
main(int argc, char *argv[])
{
	static int64_t token_ns[ROUNDS_MAX], deflate_ns[ROUNDS_MAX];
	z_stream stream = { 0 };
	int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 25;
	int64_t a, b;

	if (rounds < 1 || rounds > ROUNDS_MAX ||
	    deflateInit(&stream, 6) != Z_OK)
		return 1;
	keep_payloads();
	for (int i = 0; i < rounds; i++) {
		token_ns[i] = tokens();
		deflate_ns[i] = deflates(&stream);
	}
	deflateEnd(&stream);
	a = median(token_ns, rounds);
	b = median(deflate_ns, rounds);
	printf("{\"token_ns\":%lld,\"zlib_ns\":%lld,\"ratio\":%.3f}\n",
	    (long long)a, (long long)b, (double)a / (double)b);
	return 0;
}
