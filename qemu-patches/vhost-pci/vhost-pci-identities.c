/*
 * vhost-pci-server: identities of peers, as the administrator declares them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The file has a line for each peer: a key, then what holds for the peer, in
 * any order:
 *
 *   uid=UID     [name=NAME] [uuid=UUID] [port=PORT]
 *   memory=FILE [name=NAME] [uuid=UUID] [port=PORT]
 *
 * Text after a '#' is a comment. The first line whose key fits counts. A key
 * must be the same at each start of the peer, must be known beforehand, and
 * must be out of a stranger's reach:
 *   uid     the user of the process that connected. The kernel attests the user
 *           (SO_PEERCRED). A process id may suddenly mean another process, a
 *           user id does not. If several peers share a user, this key cannot
 *           tell one from the other: the first one gets the name.
 *   memory  a file (memory-backend-file) that is part of the peer's memory. The
 *           owner of the file decides who may open it, and so present it.
 * The name of a memfd is no key, because the peer chooses it; nor is its
 * number, which differs from start to start.
 *
 * The server reads the file again when the file has changed.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "vhost-pci-server.h"

static bool vhost_pci_identity_word(VhostPciServer *v, VhostPciIdentity *id,
                                    const char *word, Error **errp)
{
    const char *value;

    if (strstart(word, "name=", &value) && strlen(value) < sizeof(id->name)) {
        pstrcpy(id->name, sizeof(id->name), value);
        return true;
    }
    if (strstart(word, "uuid=", &value) &&
        qemu_uuid_parse(value, &id->uuid) == 0) {
        return true;
    }
    if (strstart(word, "port=", &value)) {
        id->port = vhost_pci_port_find(v, value);
        if (id->port >= 0) {
            return true;
        }
    }
    error_setg(errp, "'%s' is neither name=NAME, uuid=UUID nor port=PORT",
               word);
    return false;
}

static bool vhost_pci_identity_key(VhostPciIdentity *id, const char *word,
                                   Error **errp)
{
    const char *value;
    unsigned int uid;

    if (strstart(word, "uid=", &value) &&
        qemu_strtoui(value, NULL, 10, &uid) == 0) {
        id->uid = uid;
        return true;
    }
    if (strstart(word, "memory=/", NULL) &&
        strlen(word) - strlen("memory=") < sizeof(id->memory)) {
        pstrcpy(id->memory, sizeof(id->memory), word + strlen("memory="));
        return true;
    }
    error_setg(errp, "'%s' is neither uid=UID nor memory=FILE", word);
    return false;
}

static bool vhost_pci_identity_line(VhostPciServer *v, GArray *all, char *line,
                                    Error **errp)
{
    VhostPciIdentity id = { .port = -1 };
    char *save = NULL, *word;

    line[strcspn(line, "#")] = '\0';
    word = strtok_r(line, " \t\r", &save);
    if (!word) {
        return true;
    }
    if (!vhost_pci_identity_key(&id, word, errp)) {
        return false;
    }
    while ((word = strtok_r(NULL, " \t\r", &save))) {
        if (!vhost_pci_identity_word(v, &id, word, errp)) {
            return false;
        }
    }
    g_array_append_val(all, id);
    return true;
}

bool vhost_pci_identities_read(VhostPciServer *v, Error **errp)
{
    GArray *all = g_array_new(false, false, sizeof(VhostPciIdentity));
    g_auto(GStrv) lines = NULL;
    g_autofree char *text = NULL;
    Error *err = NULL;
    unsigned int i;

    if (v->identities) {
        if (stat(v->identities, &v->identities_stat) < 0 ||
            !g_file_get_contents(v->identities, &text, NULL, NULL)) {
            error_setg(errp, "vhost-pci-server: cannot read '%s'",
                       v->identities);
            g_array_unref(all);
            return false;
        }
        lines = g_strsplit(text, "\n", -1);
        for (i = 0; lines[i]; i++) {
            if (!vhost_pci_identity_line(v, all, lines[i], &err)) {
                error_propagate_prepend(errp, err, "vhost-pci-server: '%s', "
                                        "line %u: ", v->identities, i + 1);
                g_array_unref(all);
                return false;
            }
        }
    }
    g_clear_pointer(&v->identity, g_array_unref);
    v->identity = all;
    return true;
}

static bool vhost_pci_identities_changed(const VhostPciServer *v)
{
    const struct stat *old = &v->identities_stat;
    struct stat now;

    return v->identities && stat(v->identities, &now) == 0 &&
           (now.st_ino != old->st_ino || now.st_size != old->st_size ||
            now.st_mtim.tv_sec != old->st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != old->st_mtim.tv_nsec);
}

static bool vhost_pci_identity_fits(const VhostPciIdentity *id, uid_t uid,
                                    const struct peers_file *files,
                                    unsigned int n)
{
    struct stat st;
    unsigned int i;

    if (!*id->memory) {
        return id->uid == uid;
    }
    if (stat(id->memory, &st) < 0) {
        return false;
    }
    for (i = 0; i < n; i++) {
        if (files[i].dev == st.st_dev && files[i].ino == st.st_ino) {
            return true;
        }
    }
    return false;
}

const VhostPciIdentity *vhost_pci_identity(VhostPciServer *v, uid_t uid,
                                           const struct peers_file *files,
                                           unsigned int n)
{
    Error *err = NULL;
    unsigned int i;

    if (vhost_pci_identities_changed(v) &&
        !vhost_pci_identities_read(v, &err)) {
        vhost_pci_server_warn(v, "%s; its earlier contents stay in effect",
                              error_get_pretty(err));
        error_free(err);
    }
    for (i = 0; i < v->identity->len; i++) {
        VhostPciIdentity *id = &g_array_index(v->identity, VhostPciIdentity, i);

        if (vhost_pci_identity_fits(id, uid, files, n)) {
            return id;
        }
    }
    return NULL;
}
