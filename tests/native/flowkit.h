/* SPDX-License-Identifier: Apache-2.0 */

/* For tests of guest-pmd/flow/: a port's side of a table, and frames. */

#ifndef FLOWKIT_H
#define FLOWKIT_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/parse.h"
#include "flow/rewrite.h"
#include "flow/table.h"

#define FK_PORTS	8	/* ids 1 to FK_PORTS - 1 are destinations */
#define FK_SELF		1

struct fk_env {
	struct vhostpci_flow_env env;
	int refs[FK_PORTS];	/* of each destination */
	int waits;		/* calls of quiesce */
	int stuck;		/* what quiesce returns */
	void (*on_wait)(void);
};

/* Start EAL with @megabytes, without huge pages. */
void fk_init(const char *program, unsigned int megabytes);
void fk_env_init(struct fk_env *fk);
void *fk_dest(struct fk_env *fk, unsigned int port);

/* A frame, with room for tags in front. */
struct fk_frame {
	uint8_t room[64];	/* before the frame, for tags */
	uint8_t data[2048];
	uint32_t len;
	uint32_t l3, l4;
};

/* Make a correct frame: @proto over IPv4 or IPv6, @payload bytes behind the L4
 * header, with checksums. With @tci below 0 the frame is untagged. */
void fk_make(struct fk_frame *f, bool ip6, int tci, uint8_t proto,
	     uint32_t payload);
/* Fill in the checksums of the headers at l3 and l4. */
void fk_checksums(struct fk_frame *f, bool ip6, uint8_t proto);
void fk_put16(uint8_t *p, uint16_t v);
uint16_t fk_get16(const uint8_t *p);
/* A random number below @n; the seed is fixed. */
uint32_t fk_random(uint32_t n);

enum vhostpci_flow_miss fk_parse(const struct fk_frame *f, unsigned int need,
				 struct vhostpci_flow_key *key,
				 struct vhostpci_flow_meta *meta);

#define FK_NEED_ALL	0xffu

#endif
