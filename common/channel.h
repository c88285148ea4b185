/*
 * Channel names that certify themselves, and Agora's identifier alphabet.
 *
 *   channel_<unix seconds>_<8 characters nonce><20 characters MAC>
 *
 * in base32 (a-z2-7), 47 bytes in all today. The MAC, 100 bits of HMAC-SHA256
 * under a key derived from the certificate, covers time, nonce and the user's
 * uid. The agent's uid follows from name and user uid under the same key, so
 * that a renewal answers the same one and a start can check all three values
 * without any storage.
 *
 *   key   = HMAC-SHA256(certificate, "agora-agent channel v1")
 *   MAC   = HMAC-SHA256(key, "name" 0 u64le(time) nonce uid), first 100 bits
 *   agent = HMAC-SHA256(key, "agent" 0 name 0 uid), first 8 bytes, as a
 *           little endian number, modulo the range of agent uids
 */
#ifndef COMMON_CHANNEL_H
#define COMMON_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fail;

#define CHANNEL_SIZE 64      /* bytes, with the NUL: names have 1 to 63 */
#define CHANNEL_NONCE_SIZE 5 /* random bytes */
#define CHANNEL_UID_SIZE 65  /* bytes, with the NUL: RTM allows 64 */
#define CHANNEL_AGENT_UID_MIN 10000000u
#define CHANNEL_AGENT_UID_MAX 99999999u

/*
 * Answers whether ${c} may stand in a channel name or user account: letters,
 * digits, space and !#$%&()+-:;<=.>?@[]^_{}|~, (RtcTokenBuilder2's comment).
 */
bool channel_char_ok(char c);

/*
 * Checks a name that a client sent: 1 to 63 bytes of the alphabet, not only
 * spaces. ${what} is the member's name for the message.
 * Returns 0, or -1 with ${fail} set to FAIL_BAD_INPUT.
 */
int channel_name_check(const char *name, const char *what, struct fail *fail);

/*
 * Checks a uid that a client sent. All digits, with or without a minus sign:
 * a number in 1..4294967295 without leading zeros. Else an account of 1 to 64
 * bytes of the alphabet, not only spaces and not "null" (RTM refuses it).
 * Returns 0, or -1 with ${fail} set to FAIL_BAD_INPUT.
 */
int channel_uid_check(const char *uid, const char *what, struct fail *fail);

/*
 * Writes a new name for the user ${uid} to ${name}.
 * ${now} is seconds since 1970, ${nonce} random.
 * Returns 0, or -1 with ${name} empty when OpenSSL fails, ${now} is negative
 * or ${uid} longer than channel_uid_check() lets pass.
 */
int channel_issue(const char *certificate, int64_t now,
    const uint8_t nonce[static CHANNEL_NONCE_SIZE], const char *uid,
    char name[static CHANNEL_SIZE]) __attribute__((warn_unused_result));

/*
 * Answers whether ${name} was issued with ${certificate} to the user ${uid};
 * ${issued} is then set to the time in it, else left as it is. Constant time
 * in the MAC. How old a name may be is for the caller to say.
 */
bool channel_issued(const char *certificate, const char *name, const char *uid,
    int64_t *issued);

/*
 * Answers whether ${name} looks like an issued one, and sets ${issued} as
 * above, or to anything. Whose it is the MAC would say, which needs the user's
 * uid.
 */
bool channel_has_form(const char *name, int64_t *issued);

/*
 * Answers whether ${name} was issued to the user ${uid} and is not older than
 * ${ttl} seconds, the life of the token that came with it, at ${now}. A minute
 * in the future is forgiven: another machine's clock.
 */
bool channel_current(const char *certificate, const char *name, const char *uid,
    int64_t ttl, int64_t now);

/*
 * Writes the agent uid that belongs to ${name} (any name, also a foreign one)
 * and the user ${uid}: CHANNEL_AGENT_UID_MIN to _MAX.
 * Returns 0, or -1 with ${agent_uid} untouched when OpenSSL fails or a text is
 * longer than CHANNEL_SIZE or CHANNEL_UID_SIZE allows.
 */
int channel_agent_uid(const char *certificate, const char *name,
    const char *uid, uint32_t *agent_uid) __attribute__((warn_unused_result));

#endif
