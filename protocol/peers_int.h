/* SPDX-License-Identifier: BSD-3-Clause */

/* Internal to the table of peers: functions that its files share. */

#ifndef PEERS_INT_H
#define PEERS_INT_H

#include "peers.h"

/* peers_name.c */

/* A good name has 1 to PEERS_NAME_LEN - 1 bytes, no blanks, no control characters,
 * and no '/', because a '/' comes before the number of a function. */
bool peers_name_is_good(const char *name);
bool peers_uuid_is_nil(const uint8_t uuid[16]);
/* Name the new VM @p, to which @c belongs. */
void peers_name(const struct peers *t, struct peers_peer *p,
		const struct peers_conn *c);
/* PEERS_OK, or why the name or UUID of @c contradicts its VM @p. */
int peers_agrees(const struct peers_peer *p, const struct peers_conn *c);
/* Sets *@peer to the lost VM that @c claims to be, or to -1 for a new VM. Returns
 * PEERS_OK, or why @c can be neither. */
int peers_find_lost(const struct peers *t, const struct peers_conn *c,
		    int *peer);

/* Is @file one of @files? */
bool peers_has_file(const struct peers_file *files, unsigned int n,
		    const struct peers_file *file);
bool peers_same_vm(const struct peers_file *a, unsigned int n_a,
		   unsigned int main_a, const struct peers_file *b,
		   unsigned int n_b, unsigned int main_b);

#endif
