/* SPDX-License-Identifier: Apache-2.0 */

/* See flowkit.h. */

#define _GNU_SOURCE /* sched_setaffinity */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "flowkit.h"

void
fk_init(const char *program, unsigned int megabytes)
{
	static char name[64], memory[16], lcores[16];
	const char *argv[] = {
		name, "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
		"-m", memory, "--lcores", lcores, "--log-level", "lib.eal:3",
		NULL
	};
	unsigned int cpu = 0;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		abort();
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	snprintf(lcores, sizeof(lcores), "0@%u", cpu);
	snprintf(memory, sizeof(memory), "%u", megabytes);
	snprintf(name, sizeof(name), "%s", program);
	if (rte_eal_init(RTE_DIM(argv) - 1, (char **)(uintptr_t)argv) < 0 ||
	    sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
		abort();
}

void *
fk_dest(struct fk_env *fk, unsigned int port)
{
	return &fk->refs[port];
}

static int
get_dest(void *ctx, uint16_t port_id, void **dest)
{
	struct fk_env *fk = ctx;

	if (port_id == 0 || port_id >= FK_PORTS)
		return -ENODEV;
	fk->refs[port_id]++;
	*dest = fk_dest(fk, port_id);
	return 0;
}

static void
put_dest(void *ctx __rte_unused, void *dest)
{
	if (--*(int *)dest < 0)
		abort();
}

static int
quiesce(void *ctx)
{
	struct fk_env *fk = ctx;

	fk->waits++;
	if (fk->on_wait != NULL)
		fk->on_wait();
	return fk->stuck;
}

static void
name_dest(void *ctx, const void *dest, char *buf, size_t size)
{
	struct fk_env *fk = ctx;

	snprintf(buf, size, "%d", (int)((const int *)dest - fk->refs));
}

void
fk_env_init(struct fk_env *fk)
{
	*fk = (struct fk_env) { .env = {
		.port_id = FK_SELF,
		.get_dest = get_dest,
		.put_dest = put_dest,
		.quiesce = quiesce,
		.name_dest = name_dest,
	} };
	fk->env.ctx = fk;
}

void
fk_put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

uint16_t
fk_get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

uint32_t
fk_random(uint32_t n)
{
	static uint64_t state = 0x2545f4914f6cdd1d;

	/* xorshift64* */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545f4914f6cdd1dull >> 32) % n;
}

static uint32_t
add_up(uint32_t sum, const uint8_t *p, uint32_t len)
{
	uint32_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += fk_get16(p + i);
	if (len % 2 != 0)
		sum += p[len - 1] << 8;
	return sum;
}

static uint16_t
fold(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

void
fk_checksums(struct fk_frame *f, bool ip6, uint8_t proto)
{
	uint8_t *ip = f->data + f->l3, *l4 = f->data + f->l4;
	uint32_t len = ip6 ? fk_get16(ip + 4) - (f->l4 - f->l3 - 40) :
		fk_get16(ip + 2) - (f->l4 - f->l3);
	uint32_t sum = proto + len, at;

	if (!ip6) {
		fk_put16(ip + 10, 0);
		fk_put16(ip + 10, fold(add_up(0, ip, f->l4 - f->l3)));
	}
	sum = ip6 ? add_up(sum, ip + 8, 32) : add_up(sum, ip + 12, 8);
	if (proto == IPPROTO_TCP)
		at = 16;
	else if (proto == IPPROTO_UDP)
		at = 6;
	else if (proto == IPPROTO_ICMPV6 || proto == IPPROTO_ICMP)
		at = 2;
	else
		return;
	if (proto == IPPROTO_ICMP)
		sum = 0;
	fk_put16(l4 + at, 0);
	sum = fold(add_up(sum, l4, len));
	fk_put16(l4 + at, proto == IPPROTO_UDP && sum == 0 ? 0xffff : sum);
}

static uint32_t
l4_header(uint8_t proto)
{
	return proto == IPPROTO_TCP ? 20 : proto == IPPROTO_SCTP ? 12 : 8;
}

void
fk_make(struct fk_frame *f, bool ip6, int tci, uint8_t proto, uint32_t payload)
{
	uint32_t l4_len = l4_header(proto) + payload, i;
	uint8_t *p = f->data;

	memset(f, 0, sizeof(*f));
	for (i = 0; i < sizeof(f->data); i++)
		f->data[i] = i * 7 + 3;
	memcpy(p, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01", 12);
	f->l3 = 14;
	if (tci >= 0) {
		fk_put16(p + 12, 0x8100);
		fk_put16(p + 14, tci);
		f->l3 = 18;
	}
	fk_put16(p + f->l3 - 2, ip6 ? 0x86dd : 0x0800);
	p += f->l3;
	f->l4 = f->l3 + (ip6 ? 40 : 20);
	f->len = f->l4 + l4_len;
	if (ip6) {
		memcpy(p, "\x60\x00\x00\x00", 4);
		fk_put16(p + 4, l4_len);
		p[6] = proto;
		p[7] = 64;
		memcpy(p + 8, "\xfd\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01", 16);
		memcpy(p + 24, "\xfd\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02", 16);
	} else {
		memcpy(p, "\x45\x00\0\0\x12\x34\x40\x00", 8);
		fk_put16(p + 2, 20 + l4_len);
		p[8] = 64;
		p[9] = proto;
		memcpy(p + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	}
	p = f->data + f->l4;
	memcpy(p, proto == IPPROTO_ICMP ? "\x08\0\0\0" : proto ==
	       IPPROTO_ICMPV6 ? "\x80\0\0\0" : "\x04\xd2\x16\x2e", 4);
	if (proto == IPPROTO_UDP)
		fk_put16(p + 4, l4_len);
	if (proto == IPPROTO_TCP)
		fk_put16(p + 12, 0x5010);	/* ACK */
	fk_checksums(f, ip6, proto);
}

enum vhostpci_flow_miss
fk_parse(const struct fk_frame *f, unsigned int need,
	 struct vhostpci_flow_key *key, struct vhostpci_flow_meta *meta)
{
	uint32_t head_len = RTE_MIN(f->len, (uint32_t)VHOSTPCI_FLOW_HEAD);
	uint8_t *head = malloc(head_len + 1);
	enum vhostpci_flow_miss miss;

	/* Exactly as long as the frame, so that a sanitizer sees reads
	 * beyond. */
	if (head == NULL)
		abort();
	head = realloc(head, head_len > 0 ? head_len : 1);
	memcpy(head, f->data, head_len);
	memset(key, 0xa5, sizeof(*key));
	miss = vhostpci_flow_parse(head, head_len, f->len, need, key, meta);
	free(head);
	return miss;
}
