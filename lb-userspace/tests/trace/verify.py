"""Checks every frame of a capture: scapy computes each checksum anew and compares."""
import sys

from scapy.all import IP, TCP, Ether, IPv6, rdpcap

for index, packet in enumerate(rdpcap(sys.argv[1])):
    again = packet.copy()
    for layer in (IP, TCP):
        if layer in again:
            del again[layer].chksum
    assert bytes(Ether(bytes(again))) == bytes(packet), f"packet {index} has a wrong checksum"
    address = packet[IP] if IP in packet else packet[IPv6] if IPv6 in packet else None
    fields = (address.src, address.dst) if address else ("-", "-")
    ports = (packet[TCP].dport,) if TCP in packet else ("-",)
    print(packet.dst, *fields, *ports)
