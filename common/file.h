/*
 * Files that people edit while we run: what is in them, and whether it is
 * still that.
 */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

struct buf;

/* What makes two looks at a file the same. */
struct file_stamp {
	bool there;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	struct timespec ctime; /* chmod and chown do not touch mtime */
};

struct file_stamp file_stamp_of(const struct stat *st);

/* Of what ${path} leads to; not ->there if it leads to nothing. */
struct file_stamp file_stamp_at(const char *path);

bool file_stamp_same(const struct file_stamp *a, const struct file_stamp *b);

/*
 * Opens for reading; a FIFO or a terminal does not hold us up. Returns the
 * descriptor, close-on-exec, or -1 with errno set.
 */
int file_open(const char *path);

/*
 * Appends what ${fd} has to ${content}. Returns 0, or an errno: EFBIG when it
 * is more than fits.
 */
int file_read(int fd, struct buf *content);

/*
 * "${folder}/${name}", or ${name} if that is a full path; the caller frees it.
 * NULL when out of memory.
 */
char *file_join(const char *folder, const char *name);

#endif
