"""Writes the capture of the trace tests; scapy is the independent implementation."""
import sys

from scapy.all import ARP, IP, TCP, UDP, Ether, IPv6, wrpcap

ether = Ether(src="02:11:11:11:11:11", dst="02:22:22:22:22:22")
client = IP(src="198.51.100.7", dst="192.0.2.10")
packets = [
    ether / client / TCP(sport=1000, dport=80, flags="S"),
    ether / IP(src="198.51.100.8", dst="192.0.2.10") / TCP(sport=1000, dport=80, flags="S"),
    ether / client / TCP(sport=1000, dport=80, flags="A"),
    ether / IP(src="203.0.113.9", dst="192.0.2.10") / TCP(sport=1000, dport=80, flags="S"),
    ether / IP(src="198.51.100.7", dst="192.0.2.99") / UDP(sport=1000, dport=53) / b"question",
    ether / IPv6(src="2001:db8::1", dst="2001:db8::10") / TCP(sport=5, dport=443, flags="S"),
    ether / ARP(pdst="192.0.2.10"),
    ether / client / TCP(sport=1000, dport=80, flags="A") / (b"x" * 3600),
]
wrpcap(sys.argv[1], packets)
