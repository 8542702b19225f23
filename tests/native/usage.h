/* SPDX-License-Identifier: Apache-2.0 */

/* Descriptors, threads, mappings and memory of this process: many rounds of a
 * case must not raise them. */

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

/* Slack for the allocator, its arenas, and memory that a test library keeps. */
#define USAGE_MAPS	16
#define USAGE_RSS	4096
#ifdef __SANITIZE_ADDRESS__
#define USAGE_SLACK	64	/* for shadow and quarantined memory */
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

/* The number of rounds of a case: @some, or 1000 if VHOSTPCI_FULL is set. */
static inline unsigned int
usage_rounds(unsigned int some)
{
	const char *full = getenv("VHOSTPCI_FULL");

	return full != NULL && full[0] != '\0' ? 1000 : some;
}

#endif
