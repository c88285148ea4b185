/*
 * The table of settings, and how a value of each is kept.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/ascii.h"
#include "common/fields.h"
#include "common/num.h"
#include "common/origins.h"
#include "common/settings_internal.h"
#include "common/settings_value.h"
#include "common/token.h"

#define HEX_LEN (SETTINGS_ID_SIZE - 1)
#define WORD_MAX 256 /* bytes of a vendor's id */

struct choice {
	const char *word; /* NULL after the last one */
	int value;
};

/*
 * An entry and how its value is checked and kept. ${set} returns 0 with ${why}
 * set when the value is illegal, or -1 when out of memory.
 */
struct rule {
	struct settings_entry entry;
	int (*set)(struct settings *settings, const struct rule *rule,
	    const char *value, const char **why);
	size_t member; /* offset of a text or secret in struct settings */
	int64_t min, max;
	const struct choice *choices;
	void (*keep)(struct settings *settings, int64_t value);
};

/* Puts a copy of ${value} in the place of the rule's text. */
static int
keep_text(struct settings *settings, const struct rule *rule, const char *value,
    size_t len)
{
	char **member = (void *)((char *)settings + rule->member);
	char *copy = strndup(value, len);

	if (copy == NULL)
		return -1;
	free(*member);
	*member = copy;
	return 0;
}

static void
keep_area(struct settings *settings, int64_t value)
{
	settings->area = (enum settings_area)value;
}

static void
keep_channels(struct settings *settings, int64_t value)
{
	settings->channels_issued = value != 0;
}

static void
keep_managed_blocks(struct settings *settings, int64_t value)
{
	settings->managed_blocks = value != 0;
}

static void
keep_require_token(struct settings *settings, int64_t value)
{
	settings->require_token = value != 0;
}

static void
keep_token_ttl(struct settings *settings, int64_t value)
{
	settings->token_ttl = (uint32_t)value;
}

static void
keep_start_concurrency(struct settings *settings, int64_t value)
{
	settings->start_concurrency = (uint32_t)value;
}

static void
keep_idle_timeout(struct settings *settings, int64_t value)
{
	settings->idle_timeout = (uint32_t)value;
}

/* Setters, one for each kind of value. */

static int
set_app_id(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	(void)rule;
	*why = settings_value_hex(value, HEX_LEN);
	if (*why == NULL)
		memcpy(settings->app_id, value, SETTINGS_ID_SIZE);
	return 0;
}

static int
set_key(struct settings *settings, const struct rule *rule, const char *value,
    const char **why)
{
	struct secret *member = (void *)((char *)settings + rule->member);

	*why = settings_value_word(value, SECRET_MAX);
	if (*why == NULL && secret_set(member, value) == -1)
		*why = "is too long";
	return 0;
}

static int
set_certificate(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	*why = settings_value_hex(value, HEX_LEN);
	return *why == NULL ? set_key(settings, rule, value, why) : 0;
}

static int
set_word(struct settings *settings, const struct rule *rule, const char *value,
    const char **why)
{
	*why = settings_value_word(value, WORD_MAX);
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, strlen(value));
}

static int
set_text(struct settings *settings, const struct rule *rule, const char *value,
    const char **why)
{
	*why = settings_value_text(value, SETTINGS_TEXT_MAX);
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, strlen(value));
}

static int
set_file(struct settings *settings, const struct rule *rule, const char *value,
    const char **why)
{
	if (*value != '\0')
		*why = settings_value_file(value);
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, strlen(value));
}

static int
set_url(struct settings *settings, const struct rule *rule, const char *value,
    const char **why)
{
	if (*value != '\0')
		*why = settings_value_url(value, SETTINGS_URL_MAX);
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, settings_value_trimmed(value));
}

static int
set_api_path(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	*why = settings_value_path(value, SETTINGS_PATH_MAX);
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, settings_value_trimmed(value));
}

static int
set_api_keys(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	(void)rule;
	*why = apikeys_set(&settings->api_keys, value);
	return 0;
}

static int
set_origins(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	if (*value != '\0')
		*why = origins_fault(value);
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, strlen(value));
}

static int
set_start_limit(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	(void)rule;
	if (limit_parse(value, &settings->start_limit) == -1)
		*why = "is not two whole numbers with a slash between them";
	return 0;
}

static int
set_folder(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	size_t len = settings_value_trimmed(value);

	if (*value != '\0' && (*value != '/' || len == 0))
		*why = "is not the full path of a folder";
	else if (len > SETTINGS_PATH_MAX)
		*why = "is too long";
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, len);
}

/* A path that is not a full one was made one already, see settings.c. */
static int
set_path(struct settings *settings, const struct rule *rule, const char *value,
    const char **why)
{
	size_t len = settings_value_trimmed(value);

	if (strlen(value) > SETTINGS_PATH_MAX)
		*why = "is too long";
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, len);
}

static int
set_fields(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	if (strcmp(value, "none") == 0)
		value = "";
	*why = fields_fault(value);
	if (*why != NULL)
		return 0;
	return keep_text(settings, rule, value, strlen(value));
}

static int
set_number(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	int64_t number;

	if (num_parse(value, rule->min, rule->max, &number) == -1)
		*why = "is not a whole number in that range";
	else if (rule->keep != NULL)
		rule->keep(settings, number);
	return 0;
}

/* An agent that never ends by itself costs money for ever: no slip of 0. */
static int
set_idle_timeout(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	if (strcmp(value, "unlimited") != 0)
		return set_number(settings, rule, value, why);
	rule->keep(settings, 0);
	return 0;
}

static int
set_choice(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	for (const struct choice *c = rule->choices; c->word != NULL; c++) {
		if (strcasecmp(c->word, value) == 0) {
			rule->keep(settings, c->value);
			return 0;
		}
	}
	*why = "is none of these words";
	return 0;
}

static int
set_log_level(struct settings *settings, const struct rule *rule,
    const char *value, const char **why)
{
	(void)rule;
	if (log_level_parse(value, &settings->log_level) == -1)
		*why = "is none of these words";
	return 0;
}

static const struct choice areas[] = {
	{ "US", SETTINGS_AREA_US },
	{ "EU", SETTINGS_AREA_EU },
	{ "AP", SETTINGS_AREA_AP },
	{ "CN", SETTINGS_AREA_CN },
	{ NULL, 0 },
};

static const struct choice channels[] = {
	{ "open", 0 },
	{ "issued", 1 },
	{ NULL, 0 },
};

static const struct choice managed_modes[] = {
	{ "preset", 0 },
	{ "credential_mode", 1 },
	{ NULL, 0 },
};

static const struct choice switches[] = {
	{ "0", 0 },
	{ "1", 1 },
	{ NULL, 0 },
};

#define MEMBER(name) .member = offsetof(struct settings, name)
#define TEXT "UTF-8 text of at most 8192 bytes"
#define KEY "a key of at most 512 characters, no spaces"
#define WORD "an id of at most 256 characters, no spaces"

static const struct rule table[] = {
	{
		.entry = {
			.name = "APP_ID",
			.alias = "AGORA_APP_ID",
			.expected = "32 hex digits",
			.required = true,
		},
		.set = set_app_id,
	},
	{
		.entry = {
			.name = "APP_CERTIFICATE",
			.alias = "AGORA_APP_CERTIFICATE",
			.expected = "32 hex digits",
			.required = true,
			.secret = true,
		},
		.set = set_certificate,
		MEMBER(certificate),
	},
	{
		.entry = {
			.name = "ASR_DEEPGRAM_API_KEY",
			.alias = "DEEPGRAM_API_KEY",
			.expected = KEY,
			.secret = true,
		},
		.set = set_key,
		MEMBER(asr_key),
	},
	{
		.entry = {
			.name = "LLM_API_KEY",
			.alias = "OPENAI_API_KEY",
			.expected = KEY,
			.secret = true,
		},
		.set = set_key,
		MEMBER(llm_key),
	},
	{
		.entry = {
			.name = "TTS_ELEVENLABS_API_KEY",
			.alias = "ELEVENLABS_API_KEY",
			.expected = KEY,
			.secret = true,
		},
		.set = set_key,
		MEMBER(tts_key),
	},
	{
		.entry = {
			.name = "TTS_ELEVENLABS_MODEL_ID",
			.fallback = "eleven_flash_v2_5",
			.expected = WORD,
		},
		.set = set_word,
		MEMBER(tts_model_id),
	},
	{
		.entry = {
			.name = "TTS_ELEVENLABS_VOICE_ID",
			.alias = "ELEVENLABS_VOICE_ID",
			.fallback = "pNInz6obpgDQGcFmaJgB",
			.expected = WORD,
		},
		.set = set_word,
		MEMBER(tts_voice_id),
	},
	{
		.entry = {
			.name = "AGENT_GREETING",
			.fallback = "Hello! I'm your voice assistant. "
			    "What can I do for you?",
			.expected = TEXT,
		},
		.set = set_text,
		MEMBER(greeting),
	},
	{
		.entry = {
			.name = "AGENT_INSTRUCTIONS",
			.fallback = "You are a helpful voice assistant. "
			    "Answer briefly and clearly.",
			.expected = TEXT,
		},
		.set = set_text,
		MEMBER(instructions),
	},
	{
		.entry = {
			.name = "AGENT_FAILURE_MESSAGE",
			.fallback = "Sorry, that did not work. "
			    "Please say it again.",
			.expected = TEXT,
		},
		.set = set_text,
		MEMBER(failure_message),
	},
	{
		.entry = {
			.name = "AGENT_FILE",
			.fallback = "",
			.expected = "the path of a JSON file, at most 200 bytes",
			.path = true,
		},
		.set = set_path,
		MEMBER(agent_file),
	},
	{
		.entry = {
			.name = "AGENT_DIR",
			.fallback = "",
			.expected = "the path of a folder, at most 200 bytes",
			.path = true,
		},
		.set = set_path,
		MEMBER(agent_dir),
	},
	{
		.entry = {
			.name = "AGENT_CLIENT_FIELDS",
			.fallback = "parameters.output_audio_codec",
			.expected = "names such as asr.language, commas "
			    "between them, or none; no addresses, keys, "
			    "headers, tools, prompts, vendors or models",
		},
		.set = set_fields,
		MEMBER(agent_client_fields),
	},
	{
		.entry = {
			.name = "MANAGED_MODE",
			.fallback = "preset",
			.expected = "preset or credential_mode",
		},
		.set = set_choice,
		.choices = managed_modes,
		.keep = keep_managed_blocks,
	},
	{
		.entry = {
			.name = "AGORA_AREA",
			.fallback = "CN",
			.expected = "US, EU, AP or CN",
		},
		.set = set_choice,
		.choices = areas,
		.keep = keep_area,
	},
	{
		.entry = {
			.name = "AGORA_API_PATH",
			.fallback = "/api/conversational-ai-agent",
			.expected = "a URL path that starts with a slash, "
			    "at most 200 bytes",
		},
		.set = set_api_path,
		MEMBER(api_path),
	},
	{
		.entry = {
			.name = "AGORA_API_BASE_URL",
			.fallback = "",
			.expected = "https://host[:port][/path], "
			    "at most 400 bytes",
			.replaces = "AGORA_API_PATH",
		},
		.set = set_url,
		MEMBER(api_base_url),
	},
	{
		.entry = {
			.name = "AGORA_CA_FILE",
			.fallback = "",
			.expected = "a PEM file that this program can read",
		},
		.set = set_file,
		MEMBER(ca_file),
	},
	{
		.entry = {
			.name = "CHANNELS",
			.fallback = "open",
			.expected = "open or issued",
		},
		.set = set_choice,
		.choices = channels,
		.keep = keep_channels,
	},
	{
		.entry = {
			.name = "TOKEN_TTL",
			.fallback = "86400",
			.expected = "300 to 86400 seconds",
		},
		.set = set_number,
		.min = 300,
		.max = TOKEN_EXPIRE_MAX,
		.keep = keep_token_ttl,
	},
	{
		.entry = {
			.name = "API_KEYS",
			.expected = "up to 16 keys of 16 to 256 characters, "
			    "no spaces, commas between them",
			.secret = true,
		},
		.set = set_api_keys,
	},
	{
		.entry = {
			.name = "REQUIRE_TOKEN",
			.fallback = "0",
			.expected = "0 or 1",
		},
		.set = set_choice,
		.choices = switches,
		.keep = keep_require_token,
	},
	{
		.entry = {
			.name = "ALLOWED_ORIGINS",
			.fallback = "",
			.expected = "origins such as https://www.example.com, "
			    "commas between them",
		},
		.set = set_origins,
		MEMBER(allowed_origins),
	},
	{
		.entry = {
			.name = "START_LIMIT",
			.expected = "starts/seconds, such as 6/60; at most "
			    "1000000 and 86400",
		},
		.set = set_start_limit,
	},
	{
		.entry = {
			.name = "STATE_DIR",
			.fallback = "",
			.expected = "the full path of a folder",
		},
		.set = set_folder,
		MEMBER(state_dir[0]),
	},
	{
		.entry = {
			.name = "START_CONCURRENCY",
			.fallback = "256",
			.expected = "1 to 100000 starts",
		},
		.set = set_number,
		.min = 1,
		.max = 100000,
		.keep = keep_start_concurrency,
	},
	{
		.entry = {
			.name = "AGENT_IDLE_TIMEOUT",
			.fallback = "30",
			.expected = "5 to 259200 seconds, or unlimited",
		},
		.set = set_idle_timeout,
		.min = 5,
		.max = 259200, /* Agora REST, POST /join, idle_timeout */
		.keep = keep_idle_timeout,
	},
	{
		.entry = {
			.name = "LOG_LEVEL",
			.fallback = "info",
			.expected = "error, warn, info or debug",
			.harmless = true,
		},
		.set = set_log_level,
	},
	/* Only `make run` listens there; checked so that a slip shows early. */
	{
		.entry = {
			.name = "PORT",
			.fallback = "8000",
			.expected = "1 to 65535",
			.harmless = true,
		},
		.set = set_number,
		.min = 1,
		.max = 65535,
	},
};

_Static_assert(TOKEN_EXPIRE_MAX == 86400, "TOKEN_TTL's texts say so");

#define TABLE_LEN (sizeof(table) / sizeof(table[0]))
_Static_assert(TABLE_LEN == SETTINGS_COUNT, "settings_internal.h counts wrong");

const struct settings_entry *
settings_entry_at(size_t i)
{
	return i < TABLE_LEN ? &table[i].entry : NULL;
}

const struct secret *
settings_secret_at(const struct settings *settings, size_t i)
{
	const struct rule *rule = &table[i];

	if (!rule->entry.secret || rule->set == set_api_keys)
		return NULL; /* of an API key nothing is kept to show */
	return (const void *)((const char *)settings + rule->member);
}

const char *
settings_text_at(const struct settings *settings, size_t i)
{
	const struct rule *rule = &table[i];

	if (rule->set == set_app_id)
		return settings->app_id;
	if (rule->member == 0 || rule->set == set_certificate)
		return NULL;
	if (rule->set == set_key)
		return settings_secret_at(settings, i)->text;
	return *(
	    char *const *)(const void *)((const char *)settings + rule->member);
}

static bool
has_space_around(const char *value)
{
	return ascii_is_space(value[0]) ||
	    ascii_is_space(value[strlen(value) - 1]);
}

/* Texts may begin with a space; in all else it is a slip of the pen. */
int
settings_set(struct settings *settings, size_t i, const char *value,
    const char **why)
{
	const struct rule *rule = &table[i];

	*why = NULL;
	if (rule->set != set_text && has_space_around(value)) {
		*why = "has white space at its start or end";
		return 0;
	}
	return rule->set(settings, rule, value, why);
}

int
settings_set_defaults(struct settings *settings)
{
	const struct rule *rule = table;
	const char *why = NULL;

	for (; rule < table + TABLE_LEN; rule++)
		if (rule->entry.fallback != NULL &&
		    rule->set(settings, rule, rule->entry.fallback, &why) == -1)
			return -1;
	return 0;
}
