/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The sentence that says why a session of the vhost-user core failed. The
 * sentence begins with the name of the message that the core was receiving or
 * running.
 */

#include <stdarg.h>
#include <stdio.h>

#include "vhost_user_int.h"

static void __attribute__((format(printf, 2, 0)))
vu_vset_error(struct vu_core *core, const char *fmt, va_list ap)
{
	size_t n = 0;

	if (core->have >= VU_HDR_SIZE && vu_find_rule(core->hdr.request))
		n = snprintf(core->error, sizeof(core->error), "%s: ",
			     vu_request_name(core->hdr.request));
	else if (core->have >= VU_HDR_SIZE)
		n = snprintf(core->error, sizeof(core->error), "request %u: ",
			     core->hdr.request);
	vsnprintf(core->error + n, sizeof(core->error) - n, fmt, ap);
}

int
vu_fail(struct vu_core *core, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vu_vset_error(core, fmt, ap);
	va_end(ap);
	return err;
}

void
vu_core_set_error(struct vu_core *core, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vu_vset_error(core, fmt, ap);
	va_end(ap);
}

const char *
vu_core_error(const struct vu_core *core)
{
	return core->error[0] != '\0' ? core->error : "no error";
}
