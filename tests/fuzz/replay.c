/*
 * Runs files through a harness, as libFuzzer would, without it:
 *
 *   $(B)/fuzz/NAME FILE|FOLDER …
 *
 * Says at its end how many there were. A finding ends it with SIGABRT or a
 * sanitizer's report; with FUZZ_VERBOSE=1 the last file named is the one.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "world.h"

static unsigned int count;

static void
fail_for(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(2);
}

static void
run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (file == NULL || fstat(fileno(file), &st) == -1)
		fail_for(path);
	size = (size_t)st.st_size;
	data = malloc(size + 1); /* +1: malloc(0) may be NULL */
	if (data == NULL || fread(data, 1, size, file) != size)
		fail_for(path);
	fclose(file);
	/* Said before it runs: a finding leaves no time for it. */
	if (getenv("FUZZ_VERBOSE") != NULL)
		fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	count++;
}

static void
run_folder(const char *path)
{
	struct dirent **entries;
	char file[PATH_MAX];
	int i, n = scandir(path, &entries, NULL, alphasort);

	if (n == -1)
		fail_for(path);
	for (i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(file, sizeof(file), "%s/%s", path,
			    entries[i]->d_name);
			run_file(file);
		}
		free(entries[i]);
	}
	free(entries);
}

int
main(int argc, char *argv[])
{
	struct stat st;
	int i;

	LLVMFuzzerInitialize(&argc, &argv);
	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == -1)
			fail_for(argv[i]);
		if (S_ISDIR(st.st_mode))
			run_folder(argv[i]);
		else
			run_file(argv[i]);
	}
	if (count == 0) {
		fprintf(stderr, "%s: no input\n", argv[0]);
		return 2;
	}
	printf("%u inputs\n", count);
	return 0;
}
