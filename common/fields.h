/*
 * What a client may set of an agent: AGENT_CLIENT_FIELDS, a list of members of
 * "properties", with dots: "parameters.output_audio_codec,asr.language".
 */
#ifndef COMMON_FIELDS_H
#define COMMON_FIELDS_H

#include "common/json.h"

struct fail;

/*
 * Says what is wrong with ${list} in words that go behind the setting's name,
 * or NULL. Addresses, keys, headers, tools, prompts, vendors, models, channels,
 * uids and switches are refused whatever they belong to; "" is fine.
 */
const char *fields_fault(const char *list);

/*
 * Sets ${fields} to an object with those members of ${body} that ${list} has,
 * which the caller frees, or to NULL if there are none. A value is a number,
 * true, false or a word of 1 to 64 letters, digits and "_.:-".
 * Returns 0, or -1 with ${fail} set: FAIL_BAD_INPUT, or FAIL_INTERNAL when out
 * of memory (which may also leave ${fields} incomplete, see json_put()).
 */
int fields_pick(const char *list, const struct json *body, struct json **fields,
    struct fail *fail) __attribute__((warn_unused_result));

#endif
