#define ZLIB_CONST
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/ascii.h"
#include "common/base64.h"
#include "common/fail.h"
#include "common/hmac.h"
#include "common/secret.h"
#include "common/token.h"

static_assert(ZLIB_VERNUM >= 0x1260,
    "zlib 1.2.6 or newer is needed, for ZLIB_CONST");

#define PREFIX "007"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

/* Where signing_info starts: after string(signature). */
#define SIGNED_FROM (2 + HMAC_SIZE)

/*
 * How much memory deflate takes. From 5 on a payload is compressed in one
 * piece and to the same bytes; at the default, 8, every token begins with
 * clearing 64 KiB for it.
 */
#define MEMORY_LEVEL 5
#define DEFLATE_BLOCKS_MAX 8 /* pieces of memory that zlib asks for: five */

/* Bytes of a compressed payload; deflate adds at most 13 to 1,024. */
#define DEFLATED_MAX (TOKEN_RAW_MAX + 64)

static_assert(PREFIX_LEN + BASE64_SIZE(DEFLATED_MAX) <= TOKEN_SIZE,
    "any payload fits a token");

/* Bytes being packed. A value that does not fit says so; the first one stays. */
struct writer {
	uint8_t data[TOKEN_RAW_MAX];
	size_t len;
	const char *wrong; /* why it failed, or NULL */
};

/* Bytes being read. A value that is not there sets failed, which stays. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static void
refuse(struct writer *writer, const char *wrong)
{
	if (writer->wrong == NULL)
		writer->wrong = wrong;
}

static void
put_bytes(struct writer *writer, const void *data, size_t len)
{
	if (len > sizeof(writer->data) - writer->len)
		refuse(writer, "the services are too large for a token");
	if (writer->wrong != NULL || len == 0)
		return;
	memcpy(writer->data + writer->len, data, len);
	writer->len += len;
}

static void
store_u32(uint8_t bytes[static 4], uint32_t value)
{
	bytes[0] = (uint8_t)value;
	bytes[1] = (uint8_t)(value >> 8);
	bytes[2] = (uint8_t)(value >> 16);
	bytes[3] = (uint8_t)(value >> 24);
}

static void
put_u32(struct writer *writer, uint32_t value)
{
	uint8_t bytes[4];

	store_u32(bytes, value);
	put_bytes(writer, bytes, sizeof(bytes));
}

static void
put_u16(struct writer *writer, size_t value)
{
	const uint8_t bytes[] = { (uint8_t)value, (uint8_t)(value >> 8) };

	/* All callers have smaller limits of their own. */
	assert(value <= UINT16_MAX); /* GCOVR_EXCL_BR_LINE */
	put_bytes(writer, bytes, sizeof(bytes));
}

/* Writes string(${text}); ${size} is the limit, with the NUL. */
static void
put_text(struct writer *writer, const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	if (len == size) {
		refuse(writer, "channel or account is too long for a token");
		return;
	}
	put_u16(writer, len);
	put_bytes(writer, text, len);
}

static void
put_service(struct writer *writer, const struct token_service_fields *service)
{
	size_t i;

	if (service->privileges > TOKEN_PRIVILEGES_MAX) {
		refuse(writer, "too many privileges for a token");
		return;
	}
	put_u16(writer, service->type);
	put_u16(writer, service->privileges);
	for (i = 0; i < service->privileges; i++) {
		put_u16(writer, service->privilege[i].id);
		put_u32(writer, service->privilege[i].expire);
	}
	if (service->channel != NULL)
		put_text(writer, service->channel, TOKEN_CHANNEL_SIZE);
	if (service->account != NULL)
		put_text(writer, service->account, TOKEN_ACCOUNT_SIZE);
	put_bytes(writer, service->tail, service->tail_len);
}

static bool
is_hex_id(const char *text)
{
	size_t i;

	for (i = 0; i < TOKEN_APP_ID_LEN; i++)
		if (!ascii_is_hex(text[i]))
			return false;
	return text[TOKEN_APP_ID_LEN] == '\0';
}

/* HMAC-SHA256(LE32(${number}), ${msg}), one step of the signing key. */
static int
mac_under_number(uint32_t number, const void *msg, size_t len,
    uint8_t mac[static HMAC_SIZE])
{
	uint8_t key[4];

	store_u32(key, number);
	return hmac_sha256(key, sizeof(key), msg, len, mac);
}

/* Signs ${len} bytes at ${info}. Returns 0, or -1 when OpenSSL fails. */
static int
sign(const char *certificate, uint32_t issue_ts, uint32_t salt,
    const uint8_t *info, size_t len, uint8_t signature[static HMAC_SIZE])
{
	uint8_t key[HMAC_SIZE];
	int rc = -1;

	if (mac_under_number(issue_ts, certificate, TOKEN_APP_ID_LEN, key) ==
		0 &&
	    mac_under_number(salt, key, sizeof(key), key) == 0)
		rc = hmac_sha256(key, sizeof(key), info, len, signature);
	secret_wipe(key, sizeof(key));
	return rc;
}

/* The memory of a z_stream, to wipe it: zlib's window keeps what it read. */
struct deflate_memory {
	struct {
		uint8_t *data;
		size_t size;
	} block[DEFLATE_BLOCKS_MAX];
	size_t blocks;
};

static void *
deflate_allocate(void *opaque, uInt items, uInt size)
{
	struct deflate_memory *memory = opaque;
	uint8_t *data;

	if (memory->blocks == DEFLATE_BLOCKS_MAX)
		return NULL;
	data = calloc(items, size);
	if (data == NULL)
		return NULL;
	memory->block[memory->blocks].data = data;
	memory->block[memory->blocks++].size = (size_t)items * size;
	return data;
}

/* zlib releases all or, when it could not have all, all that it had. */
static void
deflate_release(void *opaque, void *data)
{
	struct deflate_memory *memory = opaque;

	memory->blocks = 0;
	secret_free(data);
}

/*
 * Wipes what ${len} bytes have left behind. The first block is zlib's state;
 * it uses each of the others, and each quarter of one, from its start: up to
 * four bytes for one that was read (zlib 1.2.6 to 1.3.1).
 */
static void
deflate_wipe(const struct deflate_memory *memory, size_t len)
{
	const size_t used = 4 * (len + 16);
	size_t i, at, quarter;

	for (i = 1; i < memory->blocks; i++) {
		quarter = memory->block[i].size / 4;
		for (at = 0; at < memory->block[i].size; at += quarter)
			secret_wipe(memory->block[i].data + at,
			    used < quarter ? used : quarter);
	}
}

/*
 * Compresses ${len} bytes to ${out} and sets ${out_len}.
 * Returns 0, or -1 when memory ran out.
 */
static int
compress_payload(const uint8_t *data, size_t len,
    uint8_t out[static DEFLATED_MAX], size_t *out_len)
{
	/*
	 * Kept: a fresh state takes 51 us (measured, zlib 1.2.13), a whole
	 * token 12 us, 10.5 of them deflate() itself.
	 * XXX not for two threads at once; a process has one.
	 */
	static struct deflate_memory memory;
	static z_stream stream = { .zalloc = deflate_allocate,
		.zfree = deflate_release,
		.opaque = &memory };
	static bool ready;

	ready = ready ?
	    deflateReset(&stream) == Z_OK :
	    deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS,
		MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
	if (!ready)
		return -1;
	stream.next_in = data;
	stream.avail_in = (uInt)len;
	stream.next_out = out;
	stream.avail_out = DEFLATED_MAX;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END) {
		(void)deflateEnd(&stream);
		ready = false;
		return -1;
	}
	*out_len = DEFLATED_MAX - stream.avail_out;
	deflate_wipe(&memory, len);
	return 0;
}

/* Writes payload and signature; the payload is left in ${writer}. */
static int
pack_signed(struct writer *writer, const struct token_claims *claims,
    const struct token_service_fields *services, size_t count,
    const char *certificate, struct fail *fail)
{
	const uint8_t unsigned_yet[HMAC_SIZE] = { 0 };
	size_t i;

	put_u16(writer, HMAC_SIZE);
	put_bytes(writer, unsigned_yet, HMAC_SIZE);
	put_text(writer, claims->app_id, TOKEN_APP_ID_LEN + 1);
	put_u32(writer, claims->issue_ts);
	put_u32(writer, claims->expire);
	put_u32(writer, claims->salt);
	put_u16(writer, count);
	for (i = 0; i < count; i++)
		put_service(writer, &services[i]);
	if (writer->wrong != NULL)
		return fail_set(fail, FAIL_INTERNAL, "%s", writer->wrong);
	if (sign(certificate, claims->issue_ts, claims->salt,
		writer->data + SIGNED_FROM, writer->len - SIGNED_FROM,
		writer->data + SIGNED_FROM - HMAC_SIZE) == -1)
		return fail_set(fail, FAIL_INTERNAL, "cannot sign the token");
	return 0;
}

int
token_pack(const struct token_claims *claims,
    const struct token_service_fields *services, size_t count,
    const char *certificate, char token[static TOKEN_SIZE], struct fail *fail)
{
	struct writer writer = { .len = 0 };
	uint8_t deflated[DEFLATED_MAX];
	size_t len = 0;
	int rc = -1;

	token[0] = '\0';
	if (!is_hex_id(claims->app_id))
		return fail_set(fail, FAIL_INTERNAL,
		    "the app id is not 32 hex digits");
	if (!is_hex_id(certificate))
		return fail_set(fail, FAIL_INTERNAL,
		    "the app certificate is not 32 hex digits");
	if (count > TOKEN_SERVICES_MAX)
		return fail_set(fail, FAIL_INTERNAL,
		    "too many services for a token");
	if (pack_signed(&writer, claims, services, count, certificate, fail) ==
	    -1)
		goto out;
	if (compress_payload(writer.data, writer.len, deflated, &len) == -1) {
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		goto out;
	}
	memcpy(token, PREFIX, PREFIX_LEN);
	base64_encode(deflated, len, token + PREFIX_LEN);
	rc = 0;
out:
	secret_wipe(&writer, sizeof(writer));
	secret_wipe(deflated, sizeof(deflated));
	return rc;
}

int
token_prepare(struct fail *fail)
{
	uint8_t mac[HMAC_SIZE], deflated[DEFLATED_MAX];
	size_t len;

	if (mac_under_number(0, "", 0, mac) == -1 ||
	    compress_payload(mac, sizeof(mac), deflated, &len) == -1)
		return fail_set(fail, FAIL_INTERNAL, "cannot prepare tokens");
	return 0;
}

int
token_build(const struct token_claims *claims, const char *certificate,
    char token[static TOKEN_SIZE], struct fail *fail)
{
	const uint32_t rtc_expire = claims->privilege_expire != 0 ?
	    claims->privilege_expire :
	    claims->expire;
	const struct token_service_fields services[] = {
	    {
		.type = TOKEN_RTC,
		.privileges = 4,
		.privilege =
		    {
			{TOKEN_RTC_JOIN, rtc_expire},
			{TOKEN_RTC_PUBLISH_AUDIO, rtc_expire},
			{TOKEN_RTC_PUBLISH_VIDEO, rtc_expire},
			{TOKEN_RTC_PUBLISH_DATA, rtc_expire},
		    },
		.channel = claims->channel,
		.account = claims->account,
	    },
	    {
		.type = TOKEN_RTM,
		.privileges = 1,
		.privilege = {{TOKEN_RTM_LOGIN, claims->expire}},
		.account = claims->account,
	    },
	};

	return token_pack(claims, services,
	    sizeof(services) / sizeof(*services), certificate, token, fail);
}

static uint32_t
get_uint(struct reader *reader, size_t bytes)
{
	uint32_t value = 0;
	size_t i;

	if (reader->failed || bytes > reader->left) {
		reader->failed = true;
		return 0;
	}
	for (i = 0; i < bytes; i++)
		value |= (uint32_t)reader->at[i] << (8 * i);
	reader->at += bytes;
	reader->left -= bytes;
	return value;
}

static uint16_t
get_u16(struct reader *reader)
{
	return (uint16_t)get_uint(reader, 2);
}

/* Reads a string of at most ${size} - 1 bytes, none of them NUL. */
static void
get_text(struct reader *reader, char *text, size_t size)
{
	size_t len = get_u16(reader);

	if (reader->failed || len > reader->left || len >= size ||
	    memchr(reader->at, '\0', len) != NULL) {
		reader->failed = true;
		return;
	}
	memcpy(text, reader->at, len);
	text[len] = '\0';
	reader->at += len;
	reader->left -= len;
}

static void
get_privileges(struct reader *reader, struct token_parsed_service *service)
{
	size_t i, count = get_u16(reader);

	if (count > TOKEN_PRIVILEGES_MAX) {
		reader->failed = true;
		return;
	}
	for (i = 0; i < count; i++) {
		service->privilege[i].id = get_u16(reader);
		service->privilege[i].expire = get_uint(reader, 4);
	}
	service->privileges = count;
}

/* Reads one service. Returns false when its type is not known. */
static bool
get_service(struct reader *reader, struct token_parsed_service *service)
{
	enum { RTC = 1, RTM, STREAMING, FPA, CHAT, FCDN } type;

	service->type = get_u16(reader);
	if (service->type < RTC || service->type > FCDN)
		return false;
	type = service->type;
	get_privileges(reader, service);
	if (type == RTC || type == STREAMING || type == FCDN)
		get_text(reader, service->channel, sizeof(service->channel));
	if (type != FPA)
		get_text(reader, service->account, sizeof(service->account));
	return true;
}

/* Reads what stands in the payload. Returns 0, or -1. */
static int
read_payload(struct token_parsed *parsed)
{
	struct reader reader = { parsed->payload, parsed->payload_len, false };
	size_t i, count;

	if (get_u16(&reader) != HMAC_SIZE || reader.left < HMAC_SIZE)
		return -1;
	reader.at += HMAC_SIZE;
	reader.left -= HMAC_SIZE;
	parsed->signed_from = SIGNED_FROM;

	get_text(&reader, parsed->app_id, sizeof(parsed->app_id));
	parsed->issue_ts = get_uint(&reader, 4);
	parsed->expire = get_uint(&reader, 4);
	parsed->salt = get_uint(&reader, 4);
	count = get_u16(&reader);
	for (i = 0; i < count && !reader.failed; i++) {
		if (i == TOKEN_SERVICES_MAX)
			return -1;
		if (!get_service(&reader, &parsed->service[i])) {
			parsed->more_services = !reader.failed;
			break;
		}
		parsed->services++;
	}
	if (reader.failed || (reader.left > 0 && !parsed->more_services))
		return -1;
	return 0;
}

/*
 * True when inflate stopped behind the last block and the bits between its
 * end and the next byte are not all zero. Deflate ignores them (RFC 1951
 * leaves them open), which would give one token many spellings.
 */
static bool
has_dirty_padding(const z_stream *stream)
{
	const int last_block = 64, at_block_end = 128, unused_bits = 7;
	int unused;

	if ((stream->data_type & last_block) == 0 ||
	    (stream->data_type & at_block_end) == 0)
		return false;
	unused = stream->data_type & unused_bits;
	return stream->next_in[-1] >> (8 - unused) != 0;
}

static void *
inflate_allocate(void *opaque, uInt items, uInt size)
{
	(void)opaque;
	return calloc(items, size);
}

static void
inflate_release(void *opaque, void *data)
{
	(void)opaque;
	secret_free(data);
}

/*
 * Inflates ${len} bytes into the payload. zlib does not call free(3) itself:
 * the linker would look that up just then, and spill to the stack the
 * registers through which the payload was copied last.
 * Returns 0, or -1 with ${fail} filled in.
 */
static int
inflate_payload(const uint8_t *data, size_t len, struct token_parsed *parsed,
    struct fail *fail)
{
	z_stream stream = { .zalloc = inflate_allocate,
		.zfree = inflate_release };
	int rc;

	if (inflateInit(&stream) != Z_OK)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	stream.next_in = data;
	stream.avail_in = (uInt)len;
	stream.next_out = parsed->payload;
	stream.avail_out = sizeof(parsed->payload);
	do
		rc = inflate(&stream, Z_BLOCK);
	while (rc == Z_OK && !has_dirty_padding(&stream));
	parsed->payload_len = sizeof(parsed->payload) - stream.avail_out;
	len = stream.avail_in;
	(void)inflateEnd(&stream);
	if (rc != Z_STREAM_END || len > 0)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "the token is cut or damaged");
	return 0;
}

int
token_parse(const char *token, struct token_parsed *parsed, struct fail *fail)
{
	uint8_t deflated[TOKEN_SIZE];
	size_t token_len, len = 0;
	int rc;

	memset(parsed, 0, sizeof(*parsed));
	token_len = strnlen(token, TOKEN_SIZE);
	if (token_len == TOKEN_SIZE)
		return fail_set(fail, FAIL_BAD_INPUT, "the token is too long");
	if (strncmp(token, PREFIX, PREFIX_LEN) != 0)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "the token does not start with 007");
	if (base64_decode(token + PREFIX_LEN, token_len - PREFIX_LEN, deflated,
		sizeof(deflated), &len) == -1)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "the token is not valid base64");
	rc = inflate_payload(deflated, len, parsed, fail);
	secret_wipe(deflated, len);
	if (rc == -1)
		return -1;
	if (read_payload(parsed) == -1)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "the content of the token makes no sense");
	return 0;
}

bool
token_signed_by(const struct token_parsed *parsed, const char *certificate)
{
	uint8_t signature[HMAC_SIZE];
	bool good;

	if (parsed->signed_from != SIGNED_FROM ||
	    parsed->payload_len < SIGNED_FROM || !is_hex_id(certificate) ||
	    sign(certificate, parsed->issue_ts, parsed->salt,
		parsed->payload + SIGNED_FROM,
		parsed->payload_len - SIGNED_FROM, signature) == -1)
		return false;
	good = secret_equal(signature,
	    parsed->payload + SIGNED_FROM - HMAC_SIZE, HMAC_SIZE);
	secret_wipe(signature, sizeof(signature));
	return good;
}

/* Answers whether ${service} still lets ${account} join ${channel}. */
static bool
may_join(const struct token_parsed_service *service, const char *channel,
    const char *account, int64_t age)
{
	size_t i;

	if (service->type != TOKEN_RTC ||
	    strcmp(service->channel, channel) != 0 ||
	    strcmp(service->account, account) != 0)
		return false;
	for (i = 0; i < service->privileges; i++)
		if (service->privilege[i].id == TOKEN_RTC_JOIN &&
		    age <= (int64_t)service->privilege[i].expire)
			return true;
	return false;
}

/* Answers whether ${parsed}, which is genuine, is good for that at ${now}. */
static bool
lets_join(const struct token_parsed *parsed, const char *channel,
    const char *account, int64_t now)
{
	int64_t age = now - (int64_t)parsed->issue_ts;
	size_t i;

	if (age > (int64_t)parsed->expire)
		return false;
	for (i = 0; i < parsed->services; i++)
		if (may_join(&parsed->service[i], channel, account, age))
			return true;
	return false;
}

bool
token_verify(const char *token, const char *app_id, const char *certificate,
    const char *channel, const char *account, int64_t now)
{
	struct token_parsed parsed;
	bool good;

	good = token_parse(token, &parsed, NULL) == 0 &&
	    strcmp(parsed.app_id, app_id) == 0 &&
	    token_signed_by(&parsed, certificate) &&
	    lets_join(&parsed, channel, account, now);
	secret_wipe(&parsed, sizeof(parsed));
	return good;
}
