/* SPDX-License-Identifier: BSD-3-Clause */

/* See vring/rules.h. */

#include "vring/rules.h"

static const struct {
	const char *name, *text;
} rules[VHOSTPCI_N_RULES] = {
	[VHOSTPCI_RULE_NONE] = { "none", "" },
	[VHOSTPCI_RULE_AVAIL_JUMP] = {
		"avail_jump", "avail index ran ahead by more than the ring" },
	[VHOSTPCI_RULE_HEAD_INDEX] = {
		"head_index", "avail entry is not an index of the ring" },
	[VHOSTPCI_RULE_NEXT_INDEX] = {
		"next_index", "next is not an index of the descriptor table" },
	[VHOSTPCI_RULE_CHAIN_LENGTH] = {
		"chain_length", "descriptor chain too long or a loop" },
	[VHOSTPCI_RULE_INDIRECT_FEATURE] = {
		"indirect_feature", "indirect table was not negotiated" },
	[VHOSTPCI_RULE_INDIRECT_NEXT] = {
		"indirect_next", "descriptor both indirect and chained" },
	[VHOSTPCI_RULE_INDIRECT_SIZE] = {
		"indirect_size", "indirect table empty, odd or too long" },
	[VHOSTPCI_RULE_INDIRECT_NESTED] = {
		"indirect_nested", "indirect table within an indirect table" },
	[VHOSTPCI_RULE_DIRECTION] = {
		"direction", "descriptor for the other direction" },
	[VHOSTPCI_RULE_MEMORY] = {
		"memory", "descriptor outside the peer's memory" },
	[VHOSTPCI_RULE_SHORT] = {
		"short_header", "chain shorter than a virtio-net header" },
	[VHOSTPCI_RULE_LONG] = {
		"long_packet", "packet longer than 65535 bytes" },
	[VHOSTPCI_RULE_CSUM] = {
		"csum_offset", "checksum outside the packet" },
	[VHOSTPCI_RULE_GSO_TYPE] = {
		"gso_type", "segmentation that was not negotiated" },
	[VHOSTPCI_RULE_GSO_HEADER] = {
		"gso_header", "segmentation without a checksum or a size" },
	[VHOSTPCI_RULE_RING_SIZE] = {
		"ring_size", "ring size not allowed, or base beyond it" },
	[VHOSTPCI_RULE_RING_ALIGN] = {
		"ring_align", "ring address misaligned" },
	[VHOSTPCI_RULE_RING_MEMORY] = {
		"ring_memory", "ring outside the peer's memory" },
	[VHOSTPCI_RULE_FEATURES] = {
		"features", "features acknowledged but not offered" },
	[VHOSTPCI_RULE_REGIONS] = {
		"regions", "memory regions empty, wrapping or overlapping" },
};

const char *
vhostpci_rule_text(enum vhostpci_rule rule)
{
	return rules[rule].text;
}

const char *
vhostpci_rule_name(enum vhostpci_rule rule)
{
	return rules[rule].name;
}
