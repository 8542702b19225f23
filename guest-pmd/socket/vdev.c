/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * net_vpci on the vdev bus:
 *	--vdev net_vpciN,path=S[,client=1][,queues=N][,peer=NAME][,sealed=1]
 *		[,max-mem=MIB][,csum=1][,tso=1][,legacy-ol-flags=1]
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bus_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_string_fns.h>

#include "base/dpdk_compat.h"
#include "net/offload.h"
#include "socket/socket.h"

#define ARG_PATH	"path"		/* of the UNIX socket */
#define ARG_CLIENT	"client"	/* 1: connect to the front-end */
#define ARG_QUEUES	"queues"	/* most queue pairs: 1 to 30 */
#define ARG_PEER	"peer"		/* a name for logs and status */
#define ARG_SEALED	"sealed"	/* 1: refuse memory that can shrink */
#define ARG_MAX_MEM	"max-mem"	/* MiB of memory a peer may have */

/* As the arguments of net_vhost, but off by default. */
#define ARG_CSUM	"csum"		/* 1: offer checksum offloads */
#define ARG_TSO		"tso"		/* 1: offer TCP segmentation, and csum */
#define ARG_LEGACY	"legacy-ol-flags" /* 1: see struct vhostpci_transport */

#define DEFAULT_QUEUES	4

/* Each message may stop bursts for a moment. An honest front-end sends about
 * ten for each ring when it starts, and then none for hours. Header and payload
 * count as one message each. */
#define MESSAGES_PER_SECOND	1000
#define MESSAGES_AT_ONCE	4000
/* Each kick wakes a thread that then receives a whole burst, so more kicks are
 * useless. */
#define KICKS_PER_SECOND	50000
#define KICKS_AT_ONCE		1000

#define MAX_REGIONS	VU_MAX_REGIONS
#define MOST_MIB	(1ul << 27)	/* 2^47 bytes: the address space */

static const char *const valid_args[] = {
	ARG_PATH, ARG_CLIENT, ARG_QUEUES, ARG_PEER, ARG_SEALED, ARG_MAX_MEM,
	ARG_CSUM, ARG_TSO, ARG_LEGACY, NULL
};

static int
parse_number(const char *key, const char *value, unsigned long max,
	     unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(value, &end, 10);
	if (errno == 0 && end != value && *end == '\0' && *number <= max)
		return 0;
	VHOSTPCI_LOG(ERR, "%s=%s: expected a number up to %lu", key, value,
		     max);
	return -EINVAL;
}

static int
parse_flag(const char *key, const char *value, void *flag)
{
	unsigned long number;
	int rc = parse_number(key, value, 1, &number);

	if (rc == 0)
		*(bool *)flag = number;
	return rc;
}

static int
parse_queues(const char *key, const char *value, void *queues)
{
	unsigned long number;
	int rc = parse_number(key, value, VHOSTPCI_MAX_RINGS / 2, &number);

	if (rc != 0)
		return rc;
	if (number == 0) {
		VHOSTPCI_LOG(ERR, "%s=%s: at least 1 is needed", key, value);
		return -EINVAL;
	}
	*(uint16_t *)queues = number;
	return 0;
}

static int
parse_max_mem(const char *key, const char *value, void *max_memory)
{
	unsigned long number;
	int rc = parse_number(key, value, MOST_MIB, &number);

	if (rc != 0)
		return rc;
	if (number == 0) {
		VHOSTPCI_LOG(ERR, "%s=%s: at least 1 is needed", key, value);
		return -EINVAL;
	}
	*(uint64_t *)max_memory = (uint64_t)number << 20;
	return 0;
}

/* The default of max-mem: no honest peer has more memory than the machine. */
static uint64_t
physical_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages <= 0 || size <= 0 ? (uint64_t)MOST_MIB << 20 :
		(uint64_t)pages * size;
}

static int
parse_path(const char *key, const char *value, void *addr)
{
	struct sockaddr_un *un = addr;

	if (un->sun_path[0] != '\0') {
		VHOSTPCI_LOG(ERR, "%s=%s: there is a path already, %s", key,
			     value, un->sun_path);
		return -EINVAL;
	}
	/* A relative path would change its meaning when the process starts in
	 * another directory. */
	if (value[0] != '\0' && value[0] != '/') {
		VHOSTPCI_LOG(ERR, "%s=%s: does not begin with a slash", key,
			     value);
		return -EINVAL;
	}
	un->sun_family = AF_UNIX;
	if (value[0] != '\0' && strlcpy(un->sun_path, value,
			sizeof(un->sun_path)) < (ssize_t)sizeof(un->sun_path))
		return 0;
	VHOSTPCI_LOG(ERR, "%s=%s: empty, or longer than %zu bytes", key, value,
		     sizeof(un->sun_path) - 1);
	return -EINVAL;
}

static int
parse_peer(const char *key, const char *value, void *name)
{
	if (strlcpy(name, value, VHOSTPCI_NAME_LEN) < VHOSTPCI_NAME_LEN)
		return 0;
	VHOSTPCI_LOG(ERR, "%s=%s: longer than %d bytes", key, value,
		     VHOSTPCI_NAME_LEN - 1);
	return -EINVAL;
}

static int
parse_args(struct vhostpci_socket *s, const char *args)
{
	struct rte_kvargs *kv = rte_kvargs_parse(args, valid_args);
	int rc;

	if (kv == NULL) {
		VHOSTPCI_LOG(ERR, "bad arguments: %s", args);
		return -EINVAL;
	}
	rc = vhostpci_kvargs_process(kv, ARG_PATH, parse_path, &s->addr) |
		vhostpci_kvargs_process(kv, ARG_CLIENT, parse_flag,
				   &s->client) |
		vhostpci_kvargs_process(kv, ARG_SEALED, parse_flag, &s->sealed) |
		vhostpci_kvargs_process(kv, ARG_QUEUES, parse_queues, &s->queues) |
		vhostpci_kvargs_process(kv, ARG_MAX_MEM, parse_max_mem,
				   &s->max_memory) |
		vhostpci_kvargs_process(kv, ARG_PEER, parse_peer, s->peer_name) |
		vhostpci_kvargs_process(kv, ARG_CSUM, parse_flag, &s->csum) |
		vhostpci_kvargs_process(kv, ARG_TSO, parse_flag, &s->tso) |
		vhostpci_kvargs_process(kv, ARG_LEGACY, parse_flag,
				   &s->legacy_ol_flags);
	rte_kvargs_free(kv);
	if (rc == 0 && s->addr.sun_path[0] == '\0')
		VHOSTPCI_LOG(ERR, "argument %s is missing", ARG_PATH);
	return rc == 0 && s->addr.sun_path[0] != '\0' ? 0 : -EINVAL;
}

static int
init_core(struct vhostpci_socket *s)
{
	struct vu_config config = {
		.features = vhostpci_supported_features() &
			~VHOSTPCI_OFFLOAD_FEATURES,
		.protocol_features = 1ULL << VU_PROTOCOL_F_MQ |
			1ULL << VU_PROTOCOL_F_RARP |
			1ULL << VU_PROTOCOL_F_REPLY_ACK |
			1ULL << VU_PROTOCOL_F_NET_MTU |
			1ULL << VU_PROTOCOL_F_INFLIGHT_SHMFD |
			1ULL << VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
		.max_queue_pairs = s->queues,
		.max_regions = MAX_REGIONS,
		.max_memory = s->max_memory,
		.require_seals = s->sealed,
	};

	if (s->csum || s->tso)
		config.features |= VHOSTPCI_OFFLOAD_CSUM;
	if (s->tso)
		config.features |= VHOSTPCI_OFFLOAD_TSO;
	return vu_core_init(&s->core, &config, &vhostpci_socket_core_ops, s);
}

static struct vhostpci_socket *
socket_new(const char *name, const char *args)
{
	struct vhostpci_socket *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	vhostpci_limit_init(&s->messages, MESSAGES_PER_SECOND,
			    MESSAGES_AT_ONCE);
	vhostpci_limit_init(&s->kicks, KICKS_PER_SECOND, KICKS_AT_ONCE);
	s->users = 1;
	s->listen_fd = -1;
	s->conn_fd = -1;
	s->queues = DEFAULT_QUEUES;
	s->max_memory = physical_memory();
	s->closer = vhostpci_closer_new();
	s->progress = vhostpci_inflight_new();
	if (s->closer != NULL && s->progress != NULL && parse_args(s, args) == 0 &&
	    init_core(s) == 0) {
		if (s->peer_name[0] != '\0')
			name = s->peer_name;
		s->caller = vhostpci_caller_new(s->closer, name);
		if (s->caller != NULL)
			return s;
	}
	if (s->closer != NULL)
		vhostpci_closer_free(s->closer);
	vhostpci_inflight_free(s->progress);
	free(s);
	return NULL;
}

static struct vhostpci_dev *
dev_new(struct rte_eth_dev *eth_dev, struct vhostpci_socket *s)
{
	struct vhostpci_transport transport = {
		.ops = &vhostpci_socket_ops,
		.priv = s,
		.place = s->addr.sun_path,
		.max_queue_pairs = s->queues,
		.offered_features = s->core.config.features,
		.functions = 1,
		.window_type = VHOSTPCI_WINDOW_SHM,
		.legacy_ol_flags = s->legacy_ol_flags,
		.progress = s->progress,
		.progress_stride = 1,
	};

	strlcpy(transport.peer_name, s->peer_name,
		sizeof(transport.peer_name));
	return vhostpci_ethdev_create(eth_dev, &transport);
}

static int
probe(struct rte_vdev_device *vdev)
{
	struct vhostpci_socket *s;
	struct rte_eth_dev *eth_dev;
	int rc = -ENOMEM;

	if (!vhostpci_is_primary(rte_vdev_device_name(vdev)))
		return -ENOTSUP;
	s = socket_new(rte_vdev_device_name(vdev), rte_vdev_device_args(vdev));
	if (s == NULL)
		return -EINVAL;
	eth_dev = rte_eth_vdev_allocate(vdev, vhostpci_dev_size());
	if (eth_dev == NULL)
		goto free_socket;
	s->dev = dev_new(eth_dev, s);
	if (s->dev == NULL) {
		rc = -rte_errno;
		goto release;
	}
	rc = vhostpci_socket_start(s);
	if (rc != 0)
		goto destroy;
	rte_eth_dev_probing_finish(eth_dev);
	return 0;
destroy:
	vhostpci_ethdev_abandon(s->dev);
release:
	rte_eth_dev_release_port(eth_dev);
free_socket:
	vhostpci_caller_free(s->caller);
	vhostpci_closer_free(s->closer);
	vhostpci_inflight_free(s->progress);
	free(s);
	return rc;
}

static int
remove_vdev(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *eth_dev;

	eth_dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
	/* NULL: the application has closed the port. */
	return eth_dev == NULL ? 0 : vhostpci_ethdev_destroy(eth_dev);
}

static struct rte_vdev_driver vhostpci_vdev = {
	.probe = probe,
	.remove = remove_vdev,
};

/* The bus gives a device to the first driver whose name or alias is a prefix of
 * the device's name. So no driver name of DPDK may be a prefix of "net_vpci": a
 * process without this plugin must not give the device to another driver. */
RTE_PMD_REGISTER_VDEV(net_vpci, vhostpci_vdev);

RTE_PMD_REGISTER_PARAM_STRING(net_vpci,
	ARG_PATH "=<path> "
	ARG_CLIENT "=<0|1> "
	ARG_QUEUES "=<int> "
	ARG_PEER "=<name> "
	ARG_SEALED "=<0|1> "
	ARG_MAX_MEM "=<int> "
	ARG_CSUM "=<0|1> "
	ARG_TSO "=<0|1> "
	ARG_LEGACY "=<0|1>");
