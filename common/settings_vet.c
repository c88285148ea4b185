/*
 * As with an ssh key: a file that everybody on the machine can read has been
 * read.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/settings_vet.h"

static const struct {
	enum settings_flaw flaw;
	const char *text;
} flaws[] = {
	{ SETTINGS_FLAW_READABLE,
	    "everybody on this machine can read it; chmod 600, or 640 for the "
	    "web server's group" },
	{ SETTINGS_FLAW_WRITABLE,
	    "everybody on this machine can write to it; chmod 600" },
	{ SETTINGS_FLAW_OWNER,
	    "it belongs to another user, neither root nor the program's; "
	    "chown it" },
	{ SETTINGS_FLAW_LINK,
	    "it is a link that another user has made; remove it" },
	{ SETTINGS_FLAW_FOLDER,
	    "everybody on this machine can write to a folder above it; "
	    "chmod o-w the folder" },
	{ SETTINGS_FLAW_PUBLISHED,
	    "it lies in a folder that web servers publish; move it out, to "
	    "~/.config/agora-agent/env" },
	{ SETTINGS_FLAW_GROUP, "its group can write to it; chmod g-w" },
	{ SETTINGS_FLAW_WEB,
	    "it lies in a folder that a web server may publish" },
};

const char *
settings_flaw_text(unsigned set)
{
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++)
		if (set & flaws[i].flaw)
			return flaws[i].text;
	return NULL;
}

/*
 * Root and we ourselves may do as they like with us, and so may the owner of
 * the program: on a shared host where it runs as the web server's user, that
 * is whose site it is.
 */
static bool
is_trusted(uid_t owner)
{
	struct stat program;

	return owner == 0 || owner == geteuid() ||
	    (stat("/proc/self/exe", &program) == 0 && owner == program.st_uid);
}

/*
 * The flaw of a path that leads through a folder that servers publish. Two of
 * the names mean nothing else; below the others there are programs and their
 * files too, and only a folder in there is published.
 */
static unsigned
web_flaw(const char *path)
{
	static const struct {
		const char *name;
		unsigned flaw;
	} roots[] = {
		{ "public_html", SETTINGS_FLAW_PUBLISHED },
		{ "htdocs", SETTINGS_FLAW_PUBLISHED },
		{ "www", SETTINGS_FLAW_WEB },
		{ "html", SETTINGS_FLAW_WEB },
	};
	unsigned found = 0;
	size_t len;

	for (; *path != '\0'; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
			if (strlen(roots[i].name) == len &&
			    strncmp(path, roots[i].name, len) == 0)
				found |= roots[i].flaw;
	}
	return found;
}

/*
 * Answers whether everybody can replace something above ${path}, which is cut
 * up. In a sticky folder, like /tmp, they cannot.
 */
static bool
below_open_folder(char path[static PATH_MAX])
{
	char *slash;
	struct stat st;

	while ((slash = strrchr(path, '/')) != NULL) {
		*slash = '\0';
		if (stat(slash == path ? "/" : path, &st) == 0 &&
		    (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
			return true;
	}
	return false;
}

/* The flaws of the way to the file: its own name, and where links lead. */
static unsigned
vet_path(const char *name)
{
	size_t size = strlen(name) + 1;
	char path[PATH_MAX];
	unsigned found = 0;
	struct stat st;

	if (size > sizeof(path))
		return 0; /* it cannot be opened either */
	memcpy(path, name, size);
	if (below_open_folder(path))
		found |= SETTINGS_FLAW_FOLDER;
	if (realpath(name, path) != NULL) {
		found |= web_flaw(path);
		if (below_open_folder(path))
			found |= SETTINGS_FLAW_FOLDER;
	}
	found |= web_flaw(name);
	if (lstat(name, &st) == 0 && S_ISLNK(st.st_mode) &&
	    !is_trusted(st.st_uid))
		found |= SETTINGS_FLAW_LINK;
	return found;
}

unsigned
settings_vet(const char *path, const struct stat *st)
{
	unsigned found = vet_path(path);

	if (st->st_mode & S_IROTH)
		found |= SETTINGS_FLAW_READABLE;
	if (st->st_mode & S_IWOTH)
		found |= SETTINGS_FLAW_WRITABLE;
	if (st->st_mode & S_IWGRP)
		found |= SETTINGS_FLAW_GROUP;
	if (!is_trusted(st->st_uid))
		found |= SETTINGS_FLAW_OWNER;
	return found;
}
