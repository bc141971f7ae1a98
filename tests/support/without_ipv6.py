"""Runs a command as on a machine that has no IPv6: socket(AF_INET6) fails with EAFNOSUPPORT, for it and its children.

That is what `ipv6.disable=1` on the kernel's command line leaves (inet6_init in net/ipv6/af_inet6.c), and what systemd's
RestrictAddressFamilies= does with the same means: a filter of seccomp(2).
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER_OF_SOCKET = {"x86_64": 41, "aarch64": 198, "armv7l": 281}[platform.machine()]

# struct seccomp_data: the number of the call at 0, its first argument at 16.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
PROGRAM = [
    (LOAD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 3, NUMBER_OF_SOCKET),
    (LOAD, 0, 0, 16),
    (JUMP_IF_EQUAL, 0, 1, socket.AF_INET6),
    (RETURN, 0, 0, ERRNO | errno.EAFNOSUPPORT),
    (RETURN, 0, 0, ALLOW),
]


class SockFprog(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in PROGRAM))
program = SockFprog(len(PROGRAM), ctypes.addressof(filters))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
try:
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sys.exit("there is IPv6 still")
except OSError as error:
    assert error.errno == errno.EAFNOSUPPORT, error
os.execvp(sys.argv[1], sys.argv[1:])
