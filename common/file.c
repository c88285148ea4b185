#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/secret.h"

#define PATH_LEN_MAX 262144 /* longer than an environment value can be */

struct file_stamp
file_stamp_of(const struct stat *st)
{
	return (struct file_stamp){ .there = true,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim };
}

struct file_stamp
file_stamp_at(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return (struct file_stamp){ 0 };
	return file_stamp_of(&st);
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool
file_stamp_same(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->there == b->there && a->dev == b->dev && a->ino == b->ino &&
	    a->size == b->size && same_time(&a->mtime, &b->mtime) &&
	    same_time(&a->ctime, &b->ctime);
}

int
file_open(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int
file_read(int fd, struct buf *content)
{
	char block[4096];
	ssize_t len;
	int error = 0;

	do {
		len = read(fd, block, sizeof(block));
		if (len == -1)
			error = errno == EINTR ? 0 : errno;
		else if ((size_t)len > content->max - content->len)
			error = EFBIG; /* it grew while it was read */
		else
			buf_add(content, block, (size_t)len);
		if (buf_failed(content))
			error = ENOMEM;
	} while (len != 0 && error == 0);
	secret_wipe(block, sizeof(block));
	return error;
}

char *
file_join(const char *folder, const char *name)
{
	struct buf path = BUF(PATH_LEN_MAX);
	size_t len = strlen(folder);

	if (name[0] != '/') {
		buf_text(&path, folder);
		if (len == 0 || folder[len - 1] != '/')
			buf_text(&path, "/");
	}
	buf_text(&path, name);
	return buf_take(&path);
}
