/*
 * Numbers that all processes of an installation on one host share: workers,
 * those that mod_fcgid starts, CGI runs. A small file, a bounded table: what
 * is in it is a hint of limited life, never the only copy of anything.
 *
 * A process may be killed at any point: the kernel takes back its lock, and
 * every state in which it can leave a slot means something. A process that is
 * stopped while it holds a lock costs the others SHARED_WAIT_MS a call, for
 * one key in 512.
 *
 * Values must be SHARED_TIME() of a sys_monotonic_ms(), which is the same in
 * all processes of a host, and what they like in the bits below: when a key's
 * eight slots are taken, the lowest value gives way. 0 is "nothing there". The
 * file of another boot, whose clock was another one, is not used.
 */
#ifndef COMMON_SHARED_H
#define COMMON_SHARED_H

#include <stdbool.h>
#include <stdint.h>

struct fail;
struct shared;

#define SHARED_SLOTS 4096 /* of 16 bytes, in sets of eight */
#define SHARED_WAIT_MS 200

#define SHARED_LOW_BITS 22 /* of a value, below its milliseconds */
#define SHARED_TIME(ms) ((uint64_t)(ms) << SHARED_LOW_BITS)
#define SHARED_MS(value) ((int64_t)((value) >> SHARED_LOW_BITS))

/*
 * The key of ${text}, of which ${purpose} ("start per address") has its own
 * ones. Keyed with the certificate: nobody else can aim at a slot, and two
 * installations may share a file.
 * Returns 0, which is nobody's key, when OpenSSL fails (out of memory).
 */
uint64_t shared_key(const char *certificate, const char *purpose,
    const char *text);

/*
 * Opens the table in ${folder}, which is made (0700) when it is not there, but
 * not its parents. Both must belong to this process's user, nobody else may
 * write into the folder or open the file, and neither may be a symbolic link.
 * A table of another form is replaced; a file of its name that is none is not.
 * NULL or "": a table that no other process sees.
 * Returns NULL with ${fail} set to FAIL_CONFIG, also when somebody holds the
 * lock for longer than SHARED_WAIT_MS, or FAIL_INTERNAL when out of memory or
 * descriptors.
 */
struct shared *shared_open(const char *folder, struct fail *fail);

/*
 * Looks whether shared_open() would go well, and makes nothing.
 * Returns 0, or -1 with ${fail} set to FAIL_CONFIG.
 */
int shared_check(const char *folder, struct fail *fail);

/* The value of ${key}; 0: nothing there (any more), or it cannot be read. */
uint64_t shared_get(struct shared *shared, uint64_t key);

/*
 * Makes ${value} the value of ${key} if that is ${expected}, which is 0 for a
 * new key. ${value} 0 removes it.
 * Returns false, with nothing changed, when another process was first; also
 * when the file cannot be written or locked, so loops around it need an end.
 */
bool shared_swap(struct shared *shared, uint64_t key, uint64_t expected,
    uint64_t value);

/*
 * Makes ${value} the value of ${key}, whatever it was.
 * Returns false when the file cannot be written or locked.
 */
bool shared_put(struct shared *shared, uint64_t key, uint64_t value);

/* NULL is fine. */
void shared_close(struct shared *shared);

#endif
