// SPDX-License-Identifier: GPL-2.0

/*
 * Mapping a window.
 *
 * Memory types: entries are write-back whatever the kernel's list of types (PAT)
 * says, so they are made here and not by vmf_insert_pfn(), which obeys the list.
 * As long as a user has the device open vfio-pci holds an uncached mapping of the
 * whole BAR, which nobody uses; and the list follows MTRRs, which OVMF sets to
 * uncached for all BARs. Hosts ignore the MTRRs of a guest, or combine them with
 * the entry into something that is right, if slow. The user of the file must
 * not use another mapping of the same BAR. drivers/gpu/drm/i915/i915_mm.c makes
 * entries in the same way.
 */

#include "compat.h"
#include "window.h"

/* How many pages of @vma's BAR there are, and the first one; 0: none. */
static unsigned long vpw_bar(struct vpw_device *device,
			     struct vm_area_struct *vma, unsigned long *pfn)
{
	unsigned int bar = vma->vm_pgoff >> VPW_BAR_PAGE_SHIFT;
	const unsigned long want = IORESOURCE_MEM | IORESOURCE_PREFETCH;
	unsigned long flags;

	if (bar >= PCI_STD_NUM_BARS || !(device->bars & BIT(bar)))
		return 0;
	flags = pci_resource_flags(device->pdev, bar);
	if ((flags & (want | IORESOURCE_UNSET)) != want)
		return 0;
	*pfn = pci_resource_start(device->pdev, bar) >> PAGE_SHIFT;
	return pci_resource_len(device->pdev, bar) >> PAGE_SHIFT;
}

/* A page's number in its BAR. */
static unsigned long vpw_page(struct vm_area_struct *vma, unsigned long addr)
{
	return (vma->vm_pgoff & (BIT(VPW_BAR_PAGE_SHIFT) - 1)) +
	       ((addr - vma->vm_start) >> PAGE_SHIFT);
}

struct vpw_fill {
	struct mm_struct *mm;
	pgprot_t prot;
	unsigned long pfn;
	unsigned long step;		/* 0: the same page everywhere */
	unsigned long made;
};

static int vpw_fill_one(pte_t *pte, unsigned long addr, void *data)
{
	struct vpw_fill *fill = data;

	if (pte_none(*pte)) {
		set_pte_at(fill->mm, addr, pte,
			   pte_mkspecial(pfn_pte(fill->pfn, fill->prot)));
		fill->made++;
	}
	fill->pfn += fill->step;
	return 0;
}

/* Make all small entries that a huge one would stand for. */
static vm_fault_t vpw_insert_small(struct vm_fault *vmf, struct vpw_fill *fill,
				   unsigned long start)
{
	unsigned long end = min((vmf->address & PMD_MASK) + PMD_SIZE,
				vmf->vma->vm_end);

	if (apply_to_page_range(fill->mm, start, end - start, vpw_fill_one,
				fill))
		return VM_FAULT_OOM;
	return VM_FAULT_NOPAGE;
}

/* As insert_pfn_pmd() does, without asking the list of memory types. */
static vm_fault_t vpw_insert_huge(struct vm_fault *vmf, unsigned long pfn,
				  pgprot_t prot)
{
	spinlock_t *ptl = pmd_lock(vmf->vma->vm_mm, vmf->pmd);

	if (pmd_none(*vmf->pmd))
		set_pmd_at(vmf->vma->vm_mm, vmf->address & PMD_MASK, vmf->pmd,
			   vpw_pmd_without_pages(pmd_mkhuge(pfn_pmd(pfn,
								    prot))));
	spin_unlock(ptl);
	return VM_FAULT_NOPAGE;
}

/* Can a huge entry stand here? There may be small ones already. */
static bool vpw_fits_huge(struct vm_fault *vmf, unsigned long first_pfn)
{
	const unsigned long start = vmf->address & PMD_MASK;

	return start >= vmf->vma->vm_start &&
	       vmf->vma->vm_end - start >= PMD_SIZE &&
	       IS_ALIGNED(first_pfn, PMD_SIZE >> PAGE_SHIFT) &&
	       pmd_none(*vmf->pmd);
}

static vm_fault_t vpw_insert(struct vpw_device *device, struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	const unsigned long start = max(vmf->address & PMD_MASK, vma->vm_start);
	struct vpw_fill fill = {
		.mm = vma->vm_mm,
		/* Not vm_page_prot, which may lack the right to write. */
		.prot = vm_get_page_prot(vma->vm_flags),
	};
	unsigned long pages;
	vm_fault_t ret;

	/* Another thread was here first. */
	if (!pmd_none(*vmf->pmd) && pmd_leaf(*vmf->pmd))
		return VM_FAULT_NOPAGE;
	if (device->gone) {
		fill.pfn = page_to_pfn(device->nothing);
		return vpw_insert_small(vmf, &fill, start);
	}
	fill.prot = pgprot_decrypted(fill.prot);
	pages = vpw_bar(device, vma, &fill.pfn);
	if (vpw_page(vma, vma->vm_end) > pages)
		return VM_FAULT_SIGBUS;
	fill.pfn += vpw_page(vma, start);
	fill.step = 1;
	if (vpw_fits_huge(vmf, fill.pfn)) {
		atomic64_inc(&device->huge_pages);
		return vpw_insert_huge(vmf, fill.pfn, fill.prot);
	}
	ret = vpw_insert_small(vmf, &fill, start);
	atomic64_add(fill.made, &device->small_pages);
	return ret;
}

static vm_fault_t vpw_fault(struct vm_fault *vmf)
{
	struct vpw_file *f = vmf->vma->vm_file->private_data;
	vm_fault_t ret;

	mutex_lock(&f->device->lock);
	ret = vpw_insert(f->device, vmf);
	mutex_unlock(&f->device->lock);
	return ret;
}

/*
 * No .huge_fault: for such mappings 6.1 calls it for DAX files only. At a
 * fault vmf->pmd is there, and nothing in it, which is all one needs.
 */
static const struct vm_operations_struct vpw_vm_ops = {
	.fault = vpw_fault,
};

int vpw_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vpw_file *f = file->private_data;
	struct vpw_device *device = f->device;
	unsigned long pages, pfn;
	int ret = -ENODEV;
	u16 command;

	/* A private mapping would copy on write. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	mutex_lock(&device->lock);
	if (device->gone)
		goto out;
	pages = vpw_bar(device, vma, &pfn);
	ret = -EINVAL;
	if (vpw_page(vma, vma->vm_start) >= pages ||
	    vma_pages(vma) > pages - vpw_page(vma, vma->vm_start))
		goto out;
	pci_read_config_word(device->pdev, PCI_COMMAND, &command);
	ret = -ENXIO;
	if (!(command & PCI_COMMAND_MEMORY))
		goto out;
	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP,
		     VM_MAYEXEC);
	vma->vm_ops = &vpw_vm_ops;
	ret = 0;
out:
	mutex_unlock(&device->lock);
	return ret;
}
