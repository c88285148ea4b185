/*
 * Base64 (RFC 4648, section 4): standard alphabet, '=' padding.
 */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that the text of ${len} bytes takes, with the NUL. */
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* Writes ${len} bytes as text and a NUL: BASE64_SIZE(len) bytes to ${text}. */
void base64_encode(const uint8_t *data, size_t len, char *text);

/*
 * Reads the ${text_len} characters at ${text} into ${data}, which holds
 * ${size} bytes, and sets ${len}. Each sequence of bytes has exactly one text
 * that is accepted: full padding, unused bits zero, nothing but the alphabet
 * (no white space).
 * Returns 0, or -1 when it is any other text or does not fit.
 */
int base64_decode(const char *text, size_t text_len, uint8_t *data, size_t size,
    size_t *len) __attribute__((warn_unused_result));

#endif
