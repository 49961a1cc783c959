//! The answer of the stages that run in functions of their own.

use super::Notes;
use crate::abi::Reason;
use crate::abi::trace::NONE;

/// What became of a packet's flow, in one number: a global BPF function can return no more.
///
/// From the lowest bit: the [`Reason`], eight bits; the flags below; from bit 16 our port towards the
/// backend; from bit 32 the backend's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled(pub u64);

impl Settled {
    const SENT: u64 = 1 << 8;
    const NEW: u64 = 1 << 9;
    const MISSING: u64 = 1 << 10;
    const MOVED: u64 = 1 << 11;
    const PORTLESS: u64 = 1 << 12;
    /// The flow is there; whether its way back is, is to be seen.
    pub(super) const UNCERTAIN: Self = Self(1 << 13);
    /// The answer to a question without a packet.
    pub const NOTHING: Self = Self(Reason::RewriteFailed as u64 | (NONE as u64) << 32);

    /// The packet goes to a backend, in `nat` and `full-nat` from this port.
    #[inline(always)]
    pub(super) fn sent(backend: u32, source_port: u16) -> Self {
        let sent = Reason::ToBackend as u64 | Self::SENT;
        Self(sent | u64::from(source_port) << 16 | u64::from(backend) << 32)
    }

    /// The packet goes nowhere, whatever backend it was meant for.
    #[inline(always)]
    pub(super) fn refused(reason: Reason, backend: u32) -> Self {
        Self(reason as u64 | u64::from(backend) << 32)
    }

    /// There is no flow, or none any more: `moved` if its backend left it.
    #[inline(always)]
    pub(super) fn missing(moved: bool) -> Self {
        Self(Self::MISSING | if moved { Self::MOVED } else { 0 })
    }

    /// The packet made a flow, which counts as a connection unless it is a stray.
    #[inline(always)]
    pub(super) fn opened(backend: u32, stray: bool) -> Self {
        let Self(sent) = Self::sent(backend, 0);
        if stray {
            Self(sent ^ Reason::ToBackend as u64 ^ Reason::Stray as u64)
        } else {
            Self(sent | Self::NEW)
        }
    }

    /// The packet has to wait for a port towards its backend.
    #[inline(always)]
    pub(super) fn without_port(self) -> Self {
        Self(self.0 & !Self::SENT | Self::PORTLESS)
    }

    /// It waits no more.
    #[inline(always)]
    pub(super) fn with_port(self, port: u16) -> Self {
        Self(self.0 & !Self::PORTLESS | Self::SENT | u64::from(port) << 16)
    }

    /// Whether the flow has yet to be opened, and whether its backend left it.
    #[inline(always)]
    pub(super) fn is_missing(self) -> Option<bool> {
        (self.0 & Self::MISSING != 0).then_some(self.0 & Self::MOVED != 0)
    }

    /// Whether a port has yet to be claimed.
    #[inline(always)]
    pub(super) fn is_portless(self) -> bool {
        self.0 & Self::PORTLESS != 0
    }

    /// The backend's id.
    #[inline(always)]
    pub(super) fn backend(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// `nat` and `full-nat`: the source port towards the backend.
    #[inline(always)]
    pub(super) fn source_port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Writes what was learned, and gives the reason and our port towards the backend.
    #[inline(always)]
    pub(super) fn tell(self, notes: &mut Notes) -> Result<(Reason, u16), Reason> {
        notes.backend = self.backend();
        if self.is_portless() {
            return Err(Reason::NoPort);
        }
        notes.new_flow = self.0 & Self::NEW != 0;
        let number = u32::from(self.0 as u8);
        let reason = Reason::from_number(number).unwrap_or(Reason::RewriteFailed);
        if self.0 & Self::SENT == 0 {
            Err(reason)
        } else {
            Ok((reason, self.source_port()))
        }
    }
}
