/* SPDX-License-Identifier: BSD-3-Clause */

/* Names, UUIDs and memory of the peers in the table (peers.h): what tells one
 * peer from another. */

#include <stdio.h>
#include <string.h>

#include "peers_int.h"

const char *
peers_reason_text(int reason)
{
	static const char *const texts[PEERS_N_REASONS] = {
		[PEERS_OK] = "accepted",
		[PEERS_TOO_MANY_CONNS] = "too many connections",
		[PEERS_TOO_MANY_PEERS] = "too many peers (max-peers)",
		[PEERS_TOO_MANY_FUNCTIONS] = "too many devices of this peer",
		[PEERS_BAD_NAME] = "an invalid name",
		[PEERS_NAME_TAKEN] = "another peer has this name",
		[PEERS_UUID_TAKEN] = "another peer has this UUID",
		[PEERS_OTHER_NAME] = "the peer with this memory has "
			"another name",
		[PEERS_OTHER_UUID] = "the peer with this memory has "
			"another UUID",
		[PEERS_NO_MEMORY] = "no memory, or memory in too many files",
		[PEERS_MIXED_MEMORY] = "memory of several peers",
		[PEERS_NO_PORT] = "no port is free, or the requested "
			"port is taken",
		[PEERS_NO_WINDOW] = "no free port has room for twice its "
			"memory",
		[PEERS_GROWN] = "more memory than its device has room for",
		[PEERS_NOT_PLUGGED] = "its device cannot be plugged",
		[PEERS_SILENT] = "it sent no message, and others wait",
	};

	reason = reason < 0 ? -reason : reason;
	return reason < PEERS_N_REASONS ? texts[reason] : "unknown";
}

bool
peers_name_is_good(const char *name)
{
	unsigned int i;

	for (i = 0; i < PEERS_NAME_LEN && name[i] != '\0'; i++) {
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f ||
		    name[i] == '/')
			return false;
	}
	return i > 0 && i < PEERS_NAME_LEN;
}

bool
peers_uuid_is_nil(const uint8_t uuid[16])
{
	static const uint8_t nil[16];

	return memcmp(uuid, nil, sizeof(nil)) == 0;
}

static bool
is_known(const struct peers_peer *p)
{
	return p->state == PEERS_LIVE || p->state == PEERS_LOST;
}

int
peers_find_name(const struct peers *t, const char *name)
{
	unsigned int i;

	for (i = 0; i < PEERS_MAX; i++) {
		if (is_known(&t->peers[i]) &&
		    strcmp(t->peers[i].name, name) == 0)
			return i;
	}
	return -1;
}

int
peers_find_uuid(const struct peers *t, const uint8_t uuid[16])
{
	unsigned int i;

	for (i = 0; i < PEERS_MAX; i++) {
		if (is_known(&t->peers[i]) &&
		    memcmp(t->peers[i].uuid, uuid, 16) == 0)
			return i;
	}
	return -1;
}

/* FNV-1a over @salt, and device and inode number of @file. */
static uint64_t
hash(const struct peers_file *file, uint64_t salt)
{
	const uint64_t words[3] = { salt, file->dev, file->ino };
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	unsigned int i;

	for (i = 0; i < 24; i++) {
		h ^= words[i / 8] >> (i % 8 * 8) & 0xff;
		h *= UINT64_C(0x100000001b3);
	}
	return h;
}

/* RFC 9562: version 8 leaves the contents to whoever makes the UUID. */
static void
make_uuid(const struct peers *t, uint8_t uuid[16],
	  const struct peers_file *file)
{
	uint64_t salt = 0, h[2];

	do {
		h[0] = hash(file, salt++);
		h[1] = hash(file, salt++);
		memcpy(uuid, h, 16);
		uuid[6] = (uuid[6] & 0x0f) | 0x80;
		uuid[8] = (uuid[8] & 0x3f) | 0x80;
	} while (peers_find_uuid(t, uuid) >= 0);
}

/* Ends: each new salt makes another name, and the table has few VMs to collide
 * with. */
static void
make_name(const struct peers *t, char *name, const struct peers_file *file)
{
	uint64_t salt = 0;

	do {
		snprintf(name, PEERS_NAME_LEN, "vm-%012llx",
			 (unsigned long long)(hash(file, salt++) >> 16));
	} while (peers_find_name(t, name) >= 0);
}

void
peers_name(const struct peers *t, struct peers_peer *p,
	   const struct peers_conn *c)
{
	p->name_source = c->name_source;
	p->uuid_source = c->uuid_source;
	if (c->name_source == PEERS_MADE_UP)
		make_name(t, p->name, &c->files[c->main_file]);
	else
		strcpy(p->name, c->name);
	if (c->uuid_source == PEERS_MADE_UP)
		make_uuid(t, p->uuid, &c->files[c->main_file]);
	else
		memcpy(p->uuid, c->uuid, sizeof(p->uuid));
}

int
peers_agrees(const struct peers_peer *p, const struct peers_conn *c)
{
	/* A made-up name or UUID contradicts nothing, whatever the front-end
	 * says later. */
	if (c->name_source != PEERS_MADE_UP &&
	    p->name_source != PEERS_MADE_UP && strcmp(c->name, p->name) != 0)
		return PEERS_OTHER_NAME;
	if (c->uuid_source != PEERS_MADE_UP &&
	    p->uuid_source != PEERS_MADE_UP &&
	    memcmp(c->uuid, p->uuid, sizeof(p->uuid)) != 0)
		return PEERS_OTHER_UUID;
	return PEERS_OK;
}

int
peers_find_lost(const struct peers *t, const struct peers_conn *c, int *peer)
{
	int named = c->name_source == PEERS_MADE_UP ? -1 :
		peers_find_name(t, c->name);
	int numbered = c->uuid_source == PEERS_MADE_UP ? -1 :
		peers_find_uuid(t, c->uuid);

	/* The memory of @c belongs to no VM of the table. So a VM that is
	 * present and has the name or UUID of @c is another VM. A lost VM is
	 * the same VM if name and UUID agree, as far as both sides gave one. A
	 * made-up name or UUID does not count: it was made from the old
	 * memory. */
	*peer = -1;
	if (named < 0 && numbered < 0)
		return PEERS_OK;
	if (named >= 0 && (t->peers[named].state != PEERS_LOST ||
			   t->peers[named].name_source == PEERS_MADE_UP ||
			   (numbered >= 0 && numbered != named)))
		return PEERS_NAME_TAKEN;
	*peer = named >= 0 ? named : numbered;
	if (t->peers[*peer].state != PEERS_LOST ||
	    (named < 0 && t->peers[numbered].uuid_source == PEERS_MADE_UP))
		return PEERS_UUID_TAKEN;
	/* The lost VM has the name or the UUID of @c. If both sides gave the
	 * other one, too, then that differs, and the lost VM is not the same
	 * VM. */
	if (named >= 0 && c->uuid_source != PEERS_MADE_UP && numbered < 0 &&
	    t->peers[named].uuid_source != PEERS_MADE_UP)
		return PEERS_NAME_TAKEN;
	if (named < 0 && c->name_source != PEERS_MADE_UP &&
	    t->peers[numbered].name_source != PEERS_MADE_UP)
		return PEERS_UUID_TAKEN;
	return PEERS_OK;
}

bool
peers_has_file(const struct peers_file *files, unsigned int n,
	       const struct peers_file *file)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (files[i].dev == file->dev && files[i].ino == file->ino)
			return true;
	}
	return false;
}

bool
peers_same_vm(const struct peers_file *a, unsigned int n_a,
	      unsigned int main_a, const struct peers_file *b,
	      unsigned int n_b, unsigned int main_b)
{
	return peers_has_file(a, n_a, &b[main_b]) ||
		peers_has_file(b, n_b, &a[main_a]);
}
