/*
 * What was counted, as text for Prometheus: "Text-based format", 0.0.4.
 */
#ifndef FCGI_EXPOSITION_H
#define FCGI_EXPOSITION_H

#include <stdint.h>

struct buf;
struct metrics;
struct service;

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define EXPOSITION_MAX (24 * 1024) /* bytes that do for it */

/* Writes ${sum}, as it is at the monotonic time ${now_ms}, to ${out}. */
void exposition_write(const struct service *service, const struct metrics *sum,
    int64_t now_ms, struct buf *out);

#endif
