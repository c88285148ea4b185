/*
 * Agora AccessToken2 ("007"): build, parse, verify. Layout, all integers
 * little endian (AgoraIO/Tools, DynamicKey/AgoraDynamicKey, AccessToken2):
 *
 *   token        = "007" base64(zlib(string(signature) signing_info))
 *   string(s)    = u16 length, bytes
 *   signing_info = string(app_id) u32 issue_ts u32 expire u32 salt
 *                  u16 count, count * service
 *   service      = u16 type, u16 count, count * (u16 privilege, u32 seconds),
 *                  then RTC: string(channel) string(account)
 *                       RTM: string(account)
 *   signature    = HMAC-SHA256(HMAC-SHA256(LE32(salt),
 *                      HMAC-SHA256(LE32(issue_ts), certificate)), signing_info)
 *
 * The only user of zlib.
 */
#ifndef COMMON_TOKEN_H
#define COMMON_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fail;

#define TOKEN_APP_ID_LEN 32    /* hex digits, also of a certificate */
#define TOKEN_CHANNEL_SIZE 256 /* bytes, with the NUL */
#define TOKEN_ACCOUNT_SIZE 256 /* bytes, with the NUL */
#define TOKEN_RAW_MAX 1024     /* bytes of a payload we build or read */
#define TOKEN_SIZE 1536        /* bytes, with the NUL, of any token text */
#define TOKEN_EXPIRE_MAX 86400 /* seconds; the most that Agora accepts */
#define TOKEN_SERVICES_MAX 8
#define TOKEN_PRIVILEGES_MAX 8

enum token_service {
	TOKEN_RTC = 1,
	TOKEN_RTM = 2,
};

enum token_rtc_privilege {
	TOKEN_RTC_JOIN = 1,
	TOKEN_RTC_PUBLISH_AUDIO = 2,
	TOKEN_RTC_PUBLISH_VIDEO = 3,
	TOKEN_RTC_PUBLISH_DATA = 4,
};

enum token_rtm_privilege {
	TOKEN_RTM_LOGIN = 1,
};

struct token_privilege {
	uint16_t id;
	uint32_t expire; /* seconds after issue_ts */
};

/* What a token says. Texts are borrowed. */
struct token_claims {
	const char *app_id;  /* 32 hex digits */
	const char *channel; /* RTC channel name */
	const char *account; /* RTC account and RTM user */
	uint32_t issue_ts;   /* seconds since 1970 */
	uint32_t expire;     /* seconds after issue_ts, also of RTM login */
	uint32_t privilege_expire; /* of the RTC privileges; 0: expire */
	uint32_t salt;             /* random, not 0 */
};

/*
 * Has OpenSSL and zlib make what they make once. Starting cold, OpenSSL 3.0
 * crashes at some failed allocations, and after others works no more; a
 * server should be past that when requests come.
 * Returns 0, or -1 with ${fail} set to FAIL_INTERNAL; another process may have
 * more luck.
 */
int token_prepare(struct fail *fail);

/*
 * Writes a token for RTC (all four publisher privileges) and RTM (login) to
 * ${token}. zlib's default level is used, so that the bytes equal those of
 * the official builders that use stock zlib.
 * Returns 0, or -1 with ${token} empty and ${fail} set: FAIL_INTERNAL when
 * app id or certificate are not 32 hex digits, channel or account too long
 * for TOKEN_CHANNEL_SIZE / TOKEN_ACCOUNT_SIZE, or memory ran out.
 */
int token_build(const struct token_claims *claims, const char *certificate,
    char token[static TOKEN_SIZE], struct fail *fail)
    __attribute__((warn_unused_result));

/* One service as it will be packed. Texts and bytes are borrowed. */
struct token_service_fields {
	uint16_t type;
	size_t privileges;
	struct token_privilege privilege[TOKEN_PRIVILEGES_MAX]; /* ascending */
	const char *channel; /* NULL: the layout of this type has none */
	const char *account; /* likewise */
	const void *tail;    /* what the layout has after them, as bytes */
	size_t tail_len;
};

/*
 * What token_build() is made of, for any mix of services: writes a token with
 * the ${count} services, in this order, to ${token}. Of ${claims}, app_id,
 * issue_ts, expire and salt are used.
 * Returns 0, or -1 like token_build(); also when the services do not fit
 * TOKEN_RAW_MAX or TOKEN_PRIVILEGES_MAX.
 */
int token_pack(const struct token_claims *claims,
    const struct token_service_fields *services, size_t count,
    const char *certificate, char token[static TOKEN_SIZE], struct fail *fail)
    __attribute__((warn_unused_result));

/* A token taken apart. */
struct token_parsed {
	uint8_t payload[TOKEN_RAW_MAX]; /* signature and signing_info */
	size_t payload_len;
	size_t signed_from;              /* where signing_info starts */
	char app_id[TOKEN_CHANNEL_SIZE]; /* any text: nobody checked it */
	uint32_t issue_ts, expire, salt;
	size_t services; /* how many of service[] are filled */
	struct token_parsed_service {
		uint16_t type;
		size_t privileges;
		struct token_privilege privilege[TOKEN_PRIVILEGES_MAX];
		char channel[TOKEN_CHANNEL_SIZE]; /* "" where it has none */
		char account[TOKEN_ACCOUNT_SIZE];
	} service[TOKEN_SERVICES_MAX];
	bool more_services; /* an unknown type was met; the rest is unread */
};

/*
 * Takes ${token} apart without checking the signature. Base64 is strict, at
 * most TOKEN_SIZE - 1 characters are read, and inflating stops at
 * TOKEN_RAW_MAX bytes, so a hostile token costs nothing. The zlib stream has
 * to be whole, checksum included, with nothing after it.
 * Services 1 (RTC) and 2 (RTM) are read, and those whose layout is the same
 * as one of theirs or empty (3, 4, 5, 6); another type ends the reading.
 * Texts longer than their array or with a NUL inside are refused.
 * Returns 0, or -1 with ${fail} set to FAIL_BAD_INPUT (FAIL_INTERNAL when
 * memory ran out).
 */
int token_parse(const char *token, struct token_parsed *parsed,
    struct fail *fail) __attribute__((warn_unused_result));

/*
 * Answers whether ${parsed} was signed with ${certificate} (32 hex digits,
 * case kept), in constant time.
 */
bool token_signed_by(const struct token_parsed *parsed,
    const char *certificate);

/*
 * Answers whether ${token} is ours and still good: app id, signature, the
 * RTC service for ${channel} and ${account} with the join privilege, and
 * lifetime at ${now} (seconds since 1970): token and privilege are good up to
 * and including the second issue_ts + expire, as the official parser has it.
 * A wildcard token (empty account) is good for the account "" only.
 */
bool token_verify(const char *token, const char *app_id,
    const char *certificate, const char *channel, const char *account,
    int64_t now);

#endif
