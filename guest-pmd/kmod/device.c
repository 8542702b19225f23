// SPDX-License-Identifier: GPL-2.0

/* The devices there are, and a file for each of them. */

#include <linux/module.h>
#include <linux/slab.h>

#include "window.h"

/* protocol/vhost_pci.h: the ids of shared-memory capabilities. */
#define VPW_AREA_STATE		0
#define VPW_AREA_WINDOW		1
#define VPW_AREA_NEXT_WINDOW	16
#define VPW_AREA_LAST_WINDOW	31

#define VPW_CAP_SHARED_MEMORY	8	/* VIRTIO_PCI_CAP_SHARED_MEMORY_CFG */
#define VPW_CAP_PCI_CFG		5	/* VIRTIO_PCI_CAP_PCI_CFG: is in no BAR */

static LIST_HEAD(vpw_devices);
static DEFINE_MUTEX(vpw_devices_lock);

/*
 * Which BARs have areas of RAM and nothing else in them. A BAR with registers
 * would get them cached.
 */
static unsigned int vpw_find_bars(struct pci_dev *pdev)
{
	unsigned int ram = 0, registers = 0;
	u8 pos, type, bar, id;
	u32 place;

	for (pos = pci_find_capability(pdev, PCI_CAP_ID_VNDR); pos;
	     pos = pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR)) {
		pci_read_config_byte(pdev, pos + 3, &type);
		pci_read_config_byte(pdev, pos + 4, &bar);
		pci_read_config_byte(pdev, pos + 5, &id);
		if (type == VPW_CAP_PCI_CFG || bar >= PCI_STD_NUM_BARS)
			continue;
		if (type == VPW_CAP_SHARED_MEMORY &&
		    (id == VPW_AREA_STATE || id == VPW_AREA_WINDOW ||
		     (id >= VPW_AREA_NEXT_WINDOW && id <= VPW_AREA_LAST_WINDOW)))
			ram |= BIT(bar);
		else
			registers |= BIT(bar);
	}
	if (pdev->msix_cap) {
		pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_TABLE,
				      &place);
		registers |= BIT(place & PCI_MSIX_TABLE_BIR);
		pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_PBA,
				      &place);
		registers |= BIT(place & PCI_MSIX_PBA_BIR);
	}
	return ram & ~registers;
}

static void vpw_device_free(struct kref *ref)
{
	struct vpw_device *device = container_of(ref, struct vpw_device, ref);

	__free_page(device->nothing);
	pci_dev_put(device->pdev);
	mutex_destroy(&device->lock);
	kfree(device);
}

/* misc_deregister() waits for this to return: the device is there. */
static int vpw_open(struct inode *inode, struct file *file)
{
	struct vpw_device *device = container_of(file->private_data,
						 struct vpw_device, misc);
	struct vpw_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	kref_get(&device->ref);
	f->device = device;
	f->mapping = file->f_mapping;
	mutex_lock(&device->lock);
	list_add(&f->node, &device->files);
	mutex_unlock(&device->lock);
	file->private_data = f;
	return 0;
}

/* After the last mapping: each holds the file. */
static int vpw_release(struct inode *inode, struct file *file)
{
	struct vpw_file *f = file->private_data;

	mutex_lock(&f->device->lock);
	list_del(&f->node);
	mutex_unlock(&f->device->lock);
	kref_put(&f->device->ref, vpw_device_free);
	kfree(f);
	return 0;
}

static const struct file_operations vpw_fops = {
	.owner = THIS_MODULE,
	.open = vpw_open,
	.release = vpw_release,
	.mmap = vpw_mmap,
	/* Addresses that huge entries fit. */
	.get_unmapped_area = thp_get_unmapped_area,
	.llseek = noop_llseek,
};

static struct vpw_device *vpw_of(struct device *dev)
{
	return container_of(dev_get_drvdata(dev), struct vpw_device, misc);
}

static ssize_t huge_pages_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  atomic64_read(&vpw_of(dev)->huge_pages));
}
static DEVICE_ATTR_RO(huge_pages);

static ssize_t small_pages_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  atomic64_read(&vpw_of(dev)->small_pages));
}
static DEVICE_ATTR_RO(small_pages);

/* How many entries were made, since the device is there. */
static struct attribute *vpw_attrs[] = {
	&dev_attr_huge_pages.attr,
	&dev_attr_small_pages.attr,
	NULL
};
ATTRIBUTE_GROUPS(vpw);

static struct vpw_device *vpw_device_new(struct pci_dev *pdev)
{
	struct vpw_device *device = kzalloc(sizeof(*device), GFP_KERNEL);

	if (!device)
		return NULL;
	device->nothing = alloc_page(GFP_KERNEL);
	if (!device->nothing) {
		kfree(device);
		return NULL;
	}
	memset(page_address(device->nothing), 0xff, PAGE_SIZE);
	kref_init(&device->ref);
	mutex_init(&device->lock);
	INIT_LIST_HEAD(&device->files);
	device->pdev = pci_dev_get(pdev);
	device->bars = vpw_find_bars(pdev);
	snprintf(device->name, sizeof(device->name), "vhost-pci-%s",
		 pci_name(pdev));
	snprintf(device->nodename, sizeof(device->nodename), "vhost-pci/%s",
		 pci_name(pdev));
	device->misc.minor = MISC_DYNAMIC_MINOR;
	device->misc.name = device->name;
	device->misc.nodename = device->nodename;
	device->misc.mode = 0600;
	device->misc.fops = &vpw_fops;
	device->misc.groups = vpw_groups;
	device->misc.parent = &pdev->dev;
	return device;
}

/* By id, as the device's own drivers; they read the magic, too. */
static const struct pci_device_id vpw_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x1077) },
	{ PCI_DEVICE(0x1af4, 0x1055) },
	{ }
};
/* udev loads the module with the first device. */
MODULE_DEVICE_TABLE(pci, vpw_ids);

static void vpw_add(struct pci_dev *pdev)
{
	struct vpw_device *device, *other;
	int ret;

	if (!pci_match_id(vpw_ids, pdev))
		return;
	mutex_lock(&vpw_devices_lock);
	list_for_each_entry(other, &vpw_devices, node) {
		if (other->pdev == pdev)
			goto out;
	}
	device = vpw_device_new(pdev);
	ret = !device ? -ENOMEM : device->bars ? misc_register(&device->misc) :
						 -ENODEV;
	if (ret) {
		if (device)
			kref_put(&device->ref, vpw_device_free);
		pci_warn(pdev, KBUILD_MODNAME ": no file: error %d\n", ret);
		goto out;
	}
	list_add(&device->node, &vpw_devices);
	pci_info(pdev, KBUILD_MODNAME ": the window is /dev/%s\n",
		 device->nodename);
out:
	mutex_unlock(&vpw_devices_lock);
}

/* After this no entry leads to the device. */
static void vpw_remove(struct vpw_device *device)
{
	struct vpw_file *f;

	list_del(&device->node);
	misc_deregister(&device->misc);
	mutex_lock(&device->lock);
	device->gone = true;
	list_for_each_entry(f, &device->files, node)
		unmap_mapping_range(f->mapping, 0, 0, 1);
	mutex_unlock(&device->lock);
	kref_put(&device->ref, vpw_device_free);
}

static void vpw_del(struct pci_dev *pdev)
{
	struct vpw_device *device, *next;

	mutex_lock(&vpw_devices_lock);
	list_for_each_entry_safe(device, next, &vpw_devices, node) {
		if (device->pdev == pdev)
			vpw_remove(device);
	}
	mutex_unlock(&vpw_devices_lock);
}

/* The BAR's addresses are given to others only after BUS_NOTIFY_DEL_DEVICE. */
static int vpw_notify(struct notifier_block *nb, unsigned long action,
		      void *data)
{
	if (action == BUS_NOTIFY_ADD_DEVICE)
		vpw_add(to_pci_dev(data));
	else if (action == BUS_NOTIFY_DEL_DEVICE)
		vpw_del(to_pci_dev(data));
	return NOTIFY_DONE;
}

static struct notifier_block vpw_notifier = {
	.notifier_call = vpw_notify,
};

static int __init vpw_init(void)
{
	struct pci_dev *pdev = NULL;
	int ret = bus_register_notifier(&pci_bus_type, &vpw_notifier);

	if (ret)
		return ret;
	/* None that is found is removed before it is in our list. */
	pci_lock_rescan_remove();
	for_each_pci_dev(pdev)
		vpw_add(pdev);
	pci_unlock_rescan_remove();
	return 0;
}

/* No file is open: each holds the module. */
static void __exit vpw_exit(void)
{
	struct vpw_device *device, *next;

	bus_unregister_notifier(&pci_bus_type, &vpw_notifier);
	mutex_lock(&vpw_devices_lock);
	list_for_each_entry_safe(device, next, &vpw_devices, node)
		vpw_remove(device);
	mutex_unlock(&vpw_devices_lock);
}

module_init(vpw_init);
module_exit(vpw_exit);
MODULE_DESCRIPTION("windows of vhost-pci devices, to be mapped write-back");
MODULE_LICENSE("GPL");
