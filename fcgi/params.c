#include <string.h>

#include "fcgi/params.h"

const char *
params_get(char **params, const char *name)
{
	size_t len = strlen(name);

	for (; params != NULL && *params != NULL; params++)
		/* Most differ in their first byte. */
		if (**params == *name && strncmp(*params, name, len) == 0 &&
		    (*params)[len] == '=')
			return *params + len + 1;
	return NULL;
}
