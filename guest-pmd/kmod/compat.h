/* SPDX-License-Identifier: GPL-2.0 */

/*
 * What differs between kernels, with the version that changed it. Compiled and
 * run with 6.1 (Debian 12), compiled with 6.12 (Debian 13).
 */

#ifndef VHOST_PCI_WINDOW_COMPAT_H
#define VHOST_PCI_WINDOW_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
/* 6.3 made vm_flags read only. */
static inline void vm_flags_mod(struct vm_area_struct *vma,
				unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/*
 * There is no struct page behind a huge entry of ours. get_user_pages_fast()
 * must not look for one: 6.12 has a bit for that. Before, the bit of device
 * memory leads it to get_dev_pagemap(), which knows no such memory.
 */
static inline pmd_t vpw_pmd_without_pages(pmd_t pmd)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	return pmd_mkspecial(pmd);
#else
	return pmd_mkdevmap(pmd);
#endif
}

#endif
