/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The table of a vhost-pci server's peers: which connections belong to one VM, the
 * name of the VM, and the port of the VM's device.
 *
 * The table is pure bookkeeping: it knows no socket, no device and no clock. The
 * user of the table reports each event and its time, in milliseconds of a clock
 * that never goes back; callbacks tell the user what to do. The table is not thread
 * safe. Callbacks run inside the calls and must not call any function of this file.
 * If a call refuses a connection, the table forgets the connection and its number;
 * the user closes the connection.
 *
 *	peers_connect()		a front-end connected; returns the number of the
 *				connection
 *	peers_spoke()		the front-end sent a message
 *	peers_identify()	somebody says who the VM is (any number of times)
 *	peers_memory()		the memory of the VM is known, or has changed; calls
 *				plug()
 *	peers_ready()		the first ring of the connection runs
 *	peers_disconnect()	the front-end is gone; with the last connection of a
 *				VM, the VM is lost
 *	peers_expire()		calls unplug() for each lost VM whose time is over
 *	peers_unplugged()	the device is gone, so its port is free
 *
 * Identity. The table knows a VM by its memory. The main file of a connection is the
 * file with most bytes among the files that the connection presents. Two connections
 * belong to one VM if the main file of either connection is among the files of the
 * other connection. Files that VMs share on purpose are small. Whoever presents a
 * VM's main file already has the VM's memory, so the table need not protect the VM
 * against this front-end. A VM has new memory after a restart, so the table knows a
 * lost VM by its former name or UUID, too. The user holds a descriptor of each file
 * while a connection or a lost VM has the file; otherwise the kernel could give the
 * file's number to another file.
 *
 * Names. A name and a UUID come from the front-end itself, else from the
 * administrator. Else the table makes them from the main file's number, so they are
 * the same after a restart of the server. Name and UUID stay while the VM runs. The
 * table never takes them from a VM that is present or awaited.
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
	PEERS_TOO_MANY_CONNS,	/* and each of them has sent a message */
	PEERS_TOO_MANY_PEERS,
	PEERS_TOO_MANY_FUNCTIONS, /* of this VM */
	PEERS_BAD_NAME,		/* empty, too long, or with '/', or blanks */
	PEERS_NAME_TAKEN,	/* a VM that is present or awaited has the name */
	PEERS_UUID_TAKEN,
	PEERS_OTHER_NAME,	/* the VM already has another name */
	PEERS_OTHER_UUID,
	PEERS_NO_MEMORY,	/* no file, or more than PEERS_MAX_FILES */
	PEERS_MIXED_MEMORY,	/* files of several VMs */
	PEERS_NO_PORT,		/* no port is free, or the requested one is not */
	PEERS_NO_WINDOW,	/* no free port has room for twice the memory */
	PEERS_GROWN,		/* the VM's device has no room for its memory */
	PEERS_NOT_PLUGGED,	/* plug() failed */
	PEERS_SILENT,		/* it sent nothing, and others needed its place */
	PEERS_N_REASONS
};
/* A sentence for the log; never NULL. */
const char *peers_reason_text(int reason);

/* Who gave a VM its name or UUID; the first source in this list wins. */
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
	unsigned int function;	/* the VM's function of this connection */
	uint64_t since;		/* running number of the connection */
	/* What was said so far, and by whom; PEERS_MADE_UP: nothing was said. */
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
	PEERS_LOST,		/* has no connections; awaited until its time ends */
	PEERS_LEAVING,		/* its device is being unplugged */
};

/* One VM. While the VM is leaving, only slot and window are valid. */
struct peers_peer {
	enum peers_state state;
	char name[PEERS_NAME_LEN];
	uint8_t uuid[16];
	enum peers_source name_source, uuid_source;
	unsigned int n_conns;
	unsigned int slot;
	uint64_t window;	/* bytes, a power of two */
	uint64_t until;		/* of a lost VM: when its time ends, ms */
	/* Of a lost VM: the files of its last connection. */
	unsigned int n_files, main_file;
	struct peers_file files[PEERS_MAX_FILES];
};

enum peers_what {
	PEERS_CONNECTED,	/* a connection belongs to a VM now */
	PEERS_READY,
	PEERS_GONE,		/* a connection ended, but not the VM's last one */
	PEERS_IS_LOST,		/* the VM's last connection ended */
	PEERS_IS_UNPLUGGED,	/* not back in time, or grown; unplug() follows */
	PEERS_REFUSED,
};

struct peers_event {
	enum peers_what what;
	enum peers_reason reason;
	int conn, peer;		/* -1: none */
	bool is_new;		/* PEERS_CONNECTED: the VM was unknown */
	bool is_back;		/* PEERS_CONNECTED: the VM was lost */
};

struct peers_ops {
	/* Make a device for @peer at its slot, with its window. < 0: cannot. */
	int (*plug)(void *opaque, unsigned int peer);
	/* Request that the device be unplugged; the user calls peers_unplugged()
	 * when the device is gone. */
	void (*unplug)(void *opaque, unsigned int peer);
	void (*event)(void *opaque, const struct peers_event *event);
};

struct peers_slot {
	uint64_t max_window;	/* bytes; 0: no limit but a power of two */
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

/* Returns the number of the connection, or why the connection is refused. If there
 * is no room, the oldest connection that never sent a message gives up its place. */
int peers_connect(struct peers *t, uint64_t now);
void peers_spoke(struct peers *t, unsigned int conn);

/* @name, @uuid: NULL or all zero if nobody said one. @slot: the requested port, -1:
 * any. A @name of PEERS_NAME_LEN bytes need not end with NUL: it is too long. Names
 * and UUIDs of a better source stay. Call this before peers_memory(). */
int peers_identify(struct peers *t, unsigned int conn, uint64_t now,
		   enum peers_source source, const char *name,
		   const uint8_t *uuid, int slot);

/* The whole memory of @conn's VM, one entry for each file. */
int peers_memory(struct peers *t, unsigned int conn, uint64_t now,
		 const struct peers_file *files, unsigned int n);

void peers_ready(struct peers *t, unsigned int conn);
void peers_disconnect(struct peers *t, unsigned int conn, uint64_t now);

/* When to call peers_expire() next; PEERS_NEVER: not at all. */
uint64_t peers_deadline(const struct peers *t);
void peers_expire(struct peers *t, uint64_t now);
/* The device of @peer is gone, no matter who unplugged it. An awaited VM then counts
 * as a new VM when it comes back. A VM must have no connections at this call. */
void peers_unplugged(struct peers *t, unsigned int peer);

/* The VM of this name, or of this UUID; -1: none. A leaving VM is not found. */
int peers_find_name(const struct peers *t, const char *name);
int peers_find_uuid(const struct peers *t, const uint8_t uuid[16]);

/* The size of the window for @bytes of memory: twice as much, for memory that is
 * plugged later, rounded up to a power of two, as BARs are. 0: no such size. */
uint64_t peers_window(uint64_t bytes);

#endif
