# SPDX-License-Identifier: Apache-2.0
"""A proxy that records the messages from a vhost-user front-end to a back-end.

File format (.vus): one record for each message of the front-end:
    le32 length   of header and payload
    le32 nfds     number of file descriptors that came with the message
    length bytes  header and payload
A file cannot hold file descriptors; a replay makes up as many as nfds says.
The proxy passes on the back-end's answers, and does not record them.
"""
import array
import os
import socket
import struct
import threading

HEADER = 12  # vhost-user: request, flags, payload size
MAX_FDS = 16


class Recorder:
    def __init__(self, listen_path, backend_path, output):
        self.backend_path, self.output = str(backend_path), output
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(listen_path))
        self.listener.listen(1)
        self.records = []
        self.sockets = [self.listener]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        try:
            front = self.listener.accept()[0]
            back = socket.socket(socket.AF_UNIX)
            self.sockets += [front, back]
            back.connect(self.backend_path)
        except OSError:
            return
        threading.Thread(target=_relay, args=(back, front),
                         daemon=True).start()
        try:
            while self._one_message(front, back):
                pass
        except OSError:
            pass
        back.close()

    def _one_message(self, front, back):
        header, fds = _receive(front, HEADER)
        if len(header) < HEADER:
            return False
        size = struct.unpack_from("<I", header, 8)[0]
        payload = b""
        while len(payload) < size:
            more, more_fds = _receive(front, size - len(payload))
            if not more:
                return False
            payload += more
            fds += more_fds
        self.records.append((header + payload, len(fds)))
        _send(back, header + payload, fds)
        return True

    def save(self):
        """Write the file; returns the number of messages in it."""
        for s in self.sockets:
            s.close()
        with open(self.output, "wb") as out:
            for message, nfds in self.records:
                out.write(struct.pack("<II", len(message), nfds) + message)
        return len(self.records)


def _receive(sock, size):
    data, control, _, _ = sock.recvmsg(
        size, socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize))
    fds = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def _send(sock, data, fds):
    try:
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds))] if fds else []
        sent = sock.sendmsg([data], control)
        sock.sendall(data[sent:])
    finally:
        for fd in fds:
            os.close(fd)


def _relay(source, target):
    try:
        while True:
            data, fds = _receive(source, 65536)
            if not data:
                break
            _send(target, data, fds)
    except OSError:
        pass
