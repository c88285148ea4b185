#include <openssl/opensslv.h>

_Static_assert(OPENSSL_VERSION_NUMBER >= 0x30000000L,
    "OpenSSL 3.0 or newer is needed, for EVP_MD_fetch");

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/hmac.h"
#include "common/secret.h"

#define BLOCK_SIZE 64 /* of SHA-256 */

/*
 * HMAC as RFC 2104 has it, upon OpenSSL's digest. OpenSSL's own takes twice
 * the time for messages as short as ours (measured, 3.0.19), and keeps the
 * key in its context until that is given another one. What this context keeps
 * is the last MAC.
 *
 * Context and digest live as long as the process, for fetching them from the
 * providers takes longer than a MAC.
 * XXX not for two threads at once; a process has one.
 */
static EVP_MD_CTX *context;
static EVP_MD *sha256;

void
hmac_alone(void)
{
	/* If it fails, so will what follows, and that says so. */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

static int
prepare(void)
{
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (context == NULL)
		context = EVP_MD_CTX_new();
	return sha256 != NULL && context != NULL ? 0 : -1;
}

static void
give_up(void)
{
	EVP_MD_CTX_free(context);
	EVP_MD_free(sha256);
	context = NULL;
	sha256 = NULL;
	ERR_clear_error(); /* what nobody reads takes memory */
}

/* SHA-256 of ${first}, of a block, and ${second}. Returns 0, or -1. */
static int
digest(const uint8_t first[static BLOCK_SIZE], const void *second, size_t len,
    uint8_t out[static HMAC_SIZE])
{
	if (EVP_DigestInit_ex(context, sha256, NULL) != 1 ||
	    EVP_DigestUpdate(context, first, BLOCK_SIZE) != 1 ||
	    EVP_DigestUpdate(context, second, len) != 1 ||
	    EVP_DigestFinal_ex(context, out, NULL) != 1)
		return -1;
	return 0;
}

/* A key longer than a block counts as its digest. */
static int
fill_block(const void *key, size_t len, uint8_t block[static BLOCK_SIZE])
{
	memset(block, 0, BLOCK_SIZE);
	if (len <= BLOCK_SIZE) {
		if (len > 0)
			memcpy(block, key, len);
		return 0;
	}
	if (EVP_DigestInit_ex(context, sha256, NULL) != 1 ||
	    EVP_DigestUpdate(context, key, len) != 1 ||
	    EVP_DigestFinal_ex(context, block, NULL) != 1)
		return -1;
	return 0;
}

static void
flip(uint8_t block[static BLOCK_SIZE], uint8_t bits)
{
	for (size_t i = 0; i < BLOCK_SIZE; i++)
		block[i] ^= bits;
}

int
hmac_sha256(const void *key, size_t key_len, const void *msg, size_t len,
    uint8_t mac[static HMAC_SIZE])
{
	const uint8_t inner = 0x36, outer = 0x5c; /* ipad and opad */
	uint8_t block[BLOCK_SIZE], inside[HMAC_SIZE];
	int rc = -1;

	if (prepare() == -1 || fill_block(key, key_len, block) == -1)
		goto out;
	flip(block, inner);
	if (digest(block, msg, len, inside) == -1)
		goto out;
	flip(block, inner ^ outer);
	rc = digest(block, inside, sizeof(inside), mac);
out:
	secret_wipe(block, sizeof(block));
	secret_wipe(inside, sizeof(inside));
	if (rc == -1) {
		give_up();
		secret_wipe(mac, HMAC_SIZE);
	}
	return rc;
}
