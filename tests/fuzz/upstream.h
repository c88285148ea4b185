/*
 * The network of a harness: http.h without one. Every call is checked and
 * then answered from the input.
 */
#ifndef FUZZ_UPSTREAM_H
#define FUZZ_UPSTREAM_H

#include <stddef.h>
#include <stdint.h>

struct http_result;

/*
 * What the next calls are answered with, pieces of an input as
 * upstream_read() has them, one for each; NULL: none. Without one a call times
 * out. Borrowed until the next call of this function.
 */
void upstream_feed(const uint8_t *data, size_t size);

/* How many calls there were since then, and how many are not answered yet. */
unsigned int upstream_calls(void);
unsigned int upstream_open(void);

/*
 * Reads an answer from a piece of input: "STATUS [RETRY-AFTER [DATE]]\nBODY".
 * STATUS is a number, or a letter for what else may happen: 'n' not sent, 'u'
 * untrusted, 'b' broken, 'l' too large, 'm' no memory. ${result}->body is
 * borrowed from ${piece}.
 */
void upstream_read(const char *piece, size_t len, struct http_result *result);

#endif
