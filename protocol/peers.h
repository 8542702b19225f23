/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The peers of a vhost-pci server: which connections are one VM, what it is called,
 * and which port its device has.
 *
 * Pure bookkeeping. It knows no socket, no device and no clock: the user says what
 * happened, and when, in milliseconds of a clock that does not go back; callbacks
 * say what is to be done. Not thread safe; callbacks run in the call and may call
 * nothing of this. What is refused is dropped: the user closes that connection, and
 * its number is free.
 *
 *	peers_connect()		a front-end connected: its number
 *	peers_spoke()		it sent a message
 *	peers_identify()	somebody says who it is (any number of times)
 *	peers_memory()		its memory is known, or has changed: plug()
 *	peers_ready()		its first ring runs
 *	peers_disconnect()	it is gone; the last one of a VM: the VM is lost
 *	peers_expire()		not back in time: unplug(), later
 *	peers_unplugged()	the device is gone: its port is free
 *
 * Identity. A VM is known by its memory: of the files that a connection presents the
 * one with most bytes is its main one, and two connections are of one VM if the
 * main file of either is among the other's files. Files that VMs share on purpose
 * are small. Whoever presents a VM's main file has that memory, so nothing is kept
 * from him. A lost VM is also known by the name or UUID that it came with, as its
 * memory is another one after a restart. The user holds a descriptor of each file
 * while a connection or a lost VM has it: or another file may get its number.
 *
 * Names. A name and a UUID come from the front-end itself, else from the
 * administrator, else they are made of the main file's number, and so are the same
 * when the server is restarted. They stay while the VM runs. None is ever taken
 * from a VM that is there or awaited.
 */

#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "vhost_pci.h"

#define PEERS_MAX		64	/* VMs, and ports */
#define PEERS_MAX_CONNS		256
#define PEERS_MAX_FILES		VHOST_PCI_MAX_REGIONS
#define PEERS_NAME_LEN		VHOST_PCI_PEER_NAME_LEN
#define PEERS_MIN_WINDOW	(UINT64_C(1) << 20) /* bytes */
#define PEERS_NEVER		UINT64_MAX

/* Why a connection was refused; calls return it as a negative number. */
enum peers_reason {
	PEERS_OK = 0,
	PEERS_TOO_MANY_CONNS,	/* and all of them have said something */
	PEERS_TOO_MANY_PEERS,
	PEERS_TOO_MANY_FUNCTIONS, /* of this VM */
	PEERS_BAD_NAME,		/* empty, too long, or with '/', or blanks */
	PEERS_NAME_TAKEN,	/* of a VM that is there or awaited */
	PEERS_UUID_TAKEN,
	PEERS_OTHER_NAME,	/* its VM has another one */
	PEERS_OTHER_UUID,
	PEERS_NO_MEMORY,	/* none, or more files than there may be */
	PEERS_MIXED_MEMORY,	/* of several VMs */
	PEERS_NO_PORT,		/* no free one, or the one asked for is not */
	PEERS_NO_WINDOW,	/* twice its memory fits no free port */
	PEERS_GROWN,		/* more memory than its device has room for */
	PEERS_NOT_PLUGGED,	/* plug() failed */
	PEERS_SILENT,		/* without a word, others wanted its place */
	PEERS_N_REASONS
};
/* A sentence for the log; never NULL. */
const char *peers_reason_text(int reason);

/* Who says who it is; the first one counts. */
enum peers_source {
	PEERS_BY_ITSELF,
	PEERS_BY_ADMIN,
	PEERS_MADE_UP,
};

struct peers_file {
	uint64_t dev, ino;
	uint64_t bytes;		/* of regions in it */
};

struct peers_conn {
	bool used, spoke, ready;
	int peer;		/* -1: not known yet */
	unsigned int function;	/* of its VM */
	uint64_t since;		/* number of its connect: the order */
	/* As said so far; source: of each, PEERS_MADE_UP if not. */
	char name[PEERS_NAME_LEN];
	uint8_t uuid[16];
	enum peers_source name_source, uuid_source;
	int asked_slot;		/* -1: any */
	unsigned int n_files, main_file;
	struct peers_file files[PEERS_MAX_FILES];
};

enum peers_state {
	PEERS_FREE,
	PEERS_LIVE,		/* has connections */
	PEERS_LOST,		/* has none; awaited until its time is over */
	PEERS_LEAVING,		/* its device is being unplugged */
};

/* One VM. Nothing but slot and window means anything while it is leaving. */
struct peers_peer {
	enum peers_state state;
	char name[PEERS_NAME_LEN];
	uint8_t uuid[16];
	enum peers_source name_source, uuid_source;
	unsigned int n_conns;
	unsigned int slot;
	uint64_t window;	/* bytes, a power of two */
	uint64_t until;		/* lost: ms */
	/* Lost: what its last connection presented. */
	unsigned int n_files, main_file;
	struct peers_file files[PEERS_MAX_FILES];
};

enum peers_what {
	PEERS_CONNECTED,	/* a connection belongs to a VM now */
	PEERS_READY,
	PEERS_GONE,		/* a connection, but not the VM's last one */
	PEERS_IS_LOST,		/* the last one */
	PEERS_IS_UNPLUGGED,	/* not back in time, or grown: unplug() follows */
	PEERS_REFUSED,
};

struct peers_event {
	enum peers_what what;
	enum peers_reason reason;
	int conn, peer;		/* -1: none */
	bool is_new;		/* connected: a VM that was not there */
	bool is_back;		/* connected: one that was lost */
};

struct peers_ops {
	/* Make a device for @peer at its slot, with its window. < 0: cannot. */
	int (*plug)(void *opaque, unsigned int peer);
	/* Ask for the device to be unplugged; peers_unplugged() when it is. */
	void (*unplug)(void *opaque, unsigned int peer);
	void (*event)(void *opaque, const struct peers_event *event);
};

struct peers_slot {
	uint64_t max_window;	/* bytes; 0: any that is a power of two */
};

struct peers_config {
	unsigned int max_peers;	/* 1 .. PEERS_MAX */
	unsigned int max_conns;	/* 1 .. PEERS_MAX_CONNS */
	unsigned int max_functions; /* of a VM, at least 1 */
	unsigned int n_slots;	/* 1 .. PEERS_MAX */
	uint64_t min_window;	/* bytes, a power of two; 0: none */
	uint64_t grace_ms;
	struct peers_slot slots[PEERS_MAX];
};

struct peers {
	struct peers_config config;
	const struct peers_ops *ops;
	void *opaque;
	uint64_t connects;
	struct peers_conn conns[PEERS_MAX_CONNS];
	struct peers_peer peers[PEERS_MAX];
	bool taken[PEERS_MAX];	/* slots */
};

/* 0, or -1: @config is out of range. */
int peers_init(struct peers *t, const struct peers_config *config,
	       const struct peers_ops *ops, void *opaque);

/* Number of the connection, or why it is refused. Where there is no room, the
 * oldest one that never spoke is refused in its place. */
int peers_connect(struct peers *t, uint64_t now);
void peers_spoke(struct peers *t, unsigned int conn);

/* @name, @uuid: NULL if not said; all-zero: the same. @slot: the port asked for,
 * -1: any. A @name need not end with NUL if it is PEERS_NAME_LEN long: it is bad.
 * What a better source said stays. To be called before peers_memory(). */
int peers_identify(struct peers *t, unsigned int conn, uint64_t now,
		   enum peers_source source, const char *name,
		   const uint8_t *uuid, int slot);

/* The whole memory of @conn's VM, one entry for each file. */
int peers_memory(struct peers *t, unsigned int conn, uint64_t now,
		 const struct peers_file *files, unsigned int n);

void peers_ready(struct peers *t, unsigned int conn);
void peers_disconnect(struct peers *t, unsigned int conn, uint64_t now);

/* When peers_expire() is to be called next; PEERS_NEVER. */
uint64_t peers_deadline(const struct peers *t);
void peers_expire(struct peers *t, uint64_t now);
/* Whoever asked for it: a VM that is awaited has lost its device, then, and is a
 * new one when it comes. One with connections has to lose these first. */
void peers_unplugged(struct peers *t, unsigned int peer);

/* The VM of this name, or of this UUID; -1. Not one that leaves. */
int peers_find_name(const struct peers *t, const char *name);
int peers_find_uuid(const struct peers *t, const uint8_t uuid[16]);

/* The window for @bytes of memory: twice as much, for what is plugged later, and
 * a power of two, as BARs are. 0: there is none. */
uint64_t peers_window(uint64_t bytes);

#endif
