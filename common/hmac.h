/*
 * HMAC-SHA256 (RFC 2104). The only user of OpenSSL's digests.
 */
#ifndef COMMON_HMAC_H
#define COMMON_HMAC_H

#include <stddef.h>
#include <stdint.h>

#define HMAC_SIZE 32 /* bytes */

/*
 * For a program that needs OpenSSL for this alone, as the first thing it does
 * with it: its configuration file, which a third of a CGI program's time goes
 * to, is not read. A program that speaks TLS must: it is the administrator's
 * word on ciphers and protocols.
 */
void hmac_alone(void);

/*
 * Writes the MAC of ${len} bytes at ${msg} under ${key} to ${mac}.
 * ${mac} may be the same memory as ${key} or ${msg}.
 * Returns 0, or -1 with ${mac} zeroed when OpenSSL fails (out of memory).
 */
int hmac_sha256(const void *key, size_t key_len, const void *msg, size_t len,
    uint8_t mac[static HMAC_SIZE]) __attribute__((warn_unused_result));

#endif
