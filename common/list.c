#include <string.h>

#include "common/list.h"

const char *
list_next(const char **rest, size_t *len)
{
	const char *item = *rest;

	if (item == NULL)
		return NULL;
	*len = strcspn(item, ",");
	*rest = item[*len] == ',' ? item + *len + 1 : NULL;
	for (; *len > 0 && *item == ' '; item++)
		--*len;
	while (*len > 0 && item[*len - 1] == ' ')
		--*len;
	return item;
}
