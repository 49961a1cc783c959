//! The frames that a flood consists of: which template, and which sources.

use std::net::Ipv4Addr;

use crate::lab::Plan;

/// Length of a frame in bytes: the shortest that Ethernet knows, its checksum included.
pub(crate) const LENGTH: usize = 64;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const CHECKSUM: usize = ETHERNET + 10;
const SOURCE: usize = ETHERNET + 12;

/// UDP packets to one address from sources that take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood {
    /// Where all of them go, the balancer being the next hop.
    pub(crate) to: (Ipv4Addr, u16),
    /// The first source address.
    pub(crate) first: Ipv4Addr,
    /// How far apart source addresses are.
    pub(crate) stride: u32,
    /// How many there are, at least 1; then they begin anew.
    pub(crate) count: u32,
}

impl Flood {
    /// The source of frame `number`.
    pub(crate) fn source(&self, number: u32) -> Ipv4Addr {
        let step = number.checked_rem(self.count).unwrap_or_default();
        Ipv4Addr::from_bits(
            self.first
                .to_bits()
                .wrapping_add(step.wrapping_mul(self.stride)),
        )
    }

    /// The frame without source address and header checksum, which are zero.
    pub(crate) fn template(&self) -> [u8; LENGTH] {
        let mut frame = [0; LENGTH];
        frame[..6].copy_from_slice(&Plan::BALANCER.mac_bytes());
        frame[6..12].copy_from_slice(&Plan::CLIENT.mac_bytes());
        frame[12..14].copy_from_slice(&0x0800_u16.to_be_bytes());
        let length = (LENGTH - ETHERNET) as u16;
        let header = &mut frame[ETHERNET..ETHERNET + IPV4];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[8] = 64;
        header[9] = 17;
        header[16..20].copy_from_slice(&self.to.0.octets());
        // A zero UDP checksum means that there is none (RFC 768).
        let datagram = &mut frame[ETHERNET + IPV4..];
        datagram[..2].copy_from_slice(&40_000_u16.to_be_bytes());
        datagram[2..4].copy_from_slice(&self.to.1.to_be_bytes());
        datagram[4..6].copy_from_slice(&(length - IPV4 as u16).to_be_bytes());
        frame
    }

    /// The sum of the template's IPv4 header in 16-bit words, not folded.
    pub(crate) fn template_sum(&self) -> u32 {
        let frame = self.template();
        let words = frame[ETHERNET..ETHERNET + IPV4].chunks_exact(2);
        words
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum()
    }

    /// Frame `number`, complete.
    pub(crate) fn frame(&self, number: u32) -> [u8; LENGTH] {
        let mut frame = self.template();
        let source = self.source(number).to_bits();
        frame[SOURCE..SOURCE + 4].copy_from_slice(&source.to_be_bytes());
        // RFC 1071: two folds suffice for ten words.
        let sum = self.template_sum() + (source >> 16) + (source & 0xffff);
        let folded = (sum >> 16) + (sum & 0xffff);
        let folded = (folded >> 16) + (folded & 0xffff);
        frame[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(!folded as u16).to_be_bytes());
        frame
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const FLOOD: Flood = Flood {
        to: (Ipv4Addr::new(10, 77, 0, 100), 7000),
        first: Ipv4Addr::new(10, 128, 0, 7),
        stride: 512,
        count: 1000,
    };

    #[test]
    fn another_implementation_reads_the_frames_as_meant() {
        for (number, source) in [
            (0, [10, 128, 0, 7]),
            (1, [10, 128, 2, 7]),
            (999, [10, 135, 206, 7]),
            (1000, [10, 128, 0, 7]),
        ] {
            let frame = FLOOD.frame(number);
            let read = etherparse::PacketHeaders::from_ethernet_slice(&frame).unwrap();
            let Some(etherparse::NetHeaders::Ipv4(header, _)) = read.net else {
                unreachable!("an IPv4 header")
            };
            assert_eq!(header.source, source, "frame {number}");
            assert_eq!(header.destination, [10, 77, 0, 100]);
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(usize::from(header.total_len), LENGTH - ETHERNET);
            let udp = read.transport.unwrap().udp().unwrap();
            assert_eq!(udp.destination_port, 7000);
            assert_eq!(usize::from(udp.length), LENGTH - ETHERNET - IPV4);
        }
    }
}
