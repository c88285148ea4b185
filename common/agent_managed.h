/*
 * Vendors that Agora pays for: models without a key of one's own become
 * presets, or blocks with "credential_mode": "managed".
 * (https://docs.agora.io/en/ai/build/custom-model-integration, presets and
 * managed-mode; the rules are those of Agora's Python SDK 1.4.1, presets.py)
 */
#ifndef COMMON_AGENT_MANAGED_H
#define COMMON_AGENT_MANAGED_H

#include <stdbool.h>
#include <stddef.h>

struct json;

/* Where language models are asked that have no url. */
#define AGENT_OPENAI_URL "https://api.openai.com/v1/chat/completions"

/* What a preset stands in for, and the order in which presets are listed. */
enum agent_category { AGENT_ASR, AGENT_LLM, AGENT_TTS, AGENT_CATEGORIES };

/* "asr", "llm" or "tts". */
const char *agent_category_name(enum agent_category category);

/*
 * The vendor of the preset in ${list}, commas between them, that stands in for
 * ${category}; NULL when none does, or ${list} is NULL.
 */
const char *agent_preset_vendor(const char *list, enum agent_category category);

/*
 * Turns the models in ${agent} that Agora knows, and that have no key, into
 * its "preset", behind those that are there; a category that has one, or a
 * block with a credential_mode, is left alone. What a preset makes useless
 * (model, key, url) is removed. With ${blocks}, the block gets
 * "credential_mode": "managed", and what that needs, instead.
 */
void agent_manage(struct json *agent, bool blocks);

#endif
