/* SPDX-License-Identifier: Apache-2.0 */

/* What a process holds: after many rounds of a case it is what it was before. */

#ifndef USAGE_H
#define USAGE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct usage {
	unsigned int fds, threads, maps;
	unsigned long rss;	/* KiB */
};

/* Of the allocator, its arenas, and of whatever a test library keeps. */
#define USAGE_MAPS	16
#define USAGE_RSS	4096
#ifdef __SANITIZE_ADDRESS__
#define USAGE_SLACK	64	/* its shadow, and what it keeps in quarantine */
#else
#define USAGE_SLACK	1
#endif

static inline unsigned int
usage_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int n = 0;

	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n;
}

static inline void
usage_get(struct usage *u)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long total;
	int c;

	*u = (struct usage) { .fds = usage_entries("/proc/self/fd"),
		.threads = usage_entries("/proc/self/task") };
	while (file != NULL && (c = fgetc(file)) != EOF)
		u->maps += c == '\n';
	if (file != NULL)
		fclose(file);
	file = fopen("/proc/self/statm", "r");
	if (file != NULL && fscanf(file, "%lu %lu", &total, &u->rss) == 2)
		u->rss *= sysconf(_SC_PAGESIZE) / 1024;
	if (file != NULL)
		fclose(file);
}

static inline bool
usage_is_back(const struct usage *before)
{
	struct usage now;

	usage_get(&now);
	return now.fds == before->fds && now.threads == before->threads &&
		now.maps <= before->maps + USAGE_MAPS * USAGE_SLACK &&
		now.rss <= before->rss + USAGE_RSS * USAGE_SLACK;
}

/* How often a case is tried: @some times, or 1000 with VHOSTPCI_FULL set. */
static inline unsigned int
usage_rounds(unsigned int some)
{
	const char *full = getenv("VHOSTPCI_FULL");

	return full != NULL && full[0] != '\0' ? 1000 : some;
}

#endif
