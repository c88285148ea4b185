#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "deploy/tool/programs.h"

char *
programs_folder(void)
{
	char *own = realpath("/proc/self/exe", NULL);
	char *slash = own != NULL ? strrchr(own, '/') : NULL;
	char *path, *installed = NULL;

	if (slash == NULL) {
		free(own);
		return NULL;
	}
	*slash = '\0';
	path = file_join(own, "../libexec/agora-agent");
	if (path != NULL)
		installed = realpath(path, NULL);
	free(path);
	if (installed == NULL)
		return own;
	free(own);
	return installed;
}
