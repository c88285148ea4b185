/*
 * The agent that there is without a file, and what of it stays beside one.
 */
#ifndef COMMON_AGENT_DEFAULT_H
#define COMMON_AGENT_DEFAULT_H

struct json;
struct settings;

/*
 * The default agent: {"properties": {…}} without what comes with each start,
 * models named, with the keys and texts of ${settings}. The caller frees it.
 * Short of memory it is NULL or incomplete, see json_put().
 */
struct json *agent_default(const struct settings *settings);

/*
 * Takes out of ${agent}, the default, what belongs to something that ${file}
 * replaces:
 * - asr or tts of another vendor: the whole block; llm of another vendor,
 *   style or url: its url, api_key and params
 * - a category that the file's preset names: model, key and url, or the whole
 *   block, if it is of another vendor than the preset
 * - a stored pipeline (pipeline_id), or mllm switched on: asr, llm and tts
 */
void agent_default_fit(struct json *agent, const struct json *file);

#endif
