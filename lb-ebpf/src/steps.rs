//! The steps that the kernel runs in global functions.
//!
//! The verifier judges such a function once, and for any arguments that its prototype allows
//! (kernel 5.6; pointers to structs 5.12); judged in line, every way through it would multiply the
//! states of all that follows. So arguments are checked here as if a stranger had passed them, and
//! what is returned is one number. There is no argument that is not used, because the compiler would
//! pass anything in its place. The stacks of a function and its caller share 512 bytes.

use aya_ebpf::bindings::xdp_md;
use lb_common::abi::{FlowKey, Service, V4, V6};
use lb_common::datapath::{self, Frame, Ruling, Settled, Steps, Tables};
use lb_common::wire::TcpFlags;

use crate::env::{Kernel, Value};
use crate::frame::XdpFrame;

/// Longest offset of a transport header: nine headers of at most 2,048 bytes behind two tags.
const OFFSET_MASK: u64 = 0x7fff;
/// Longest offset of a network header: behind Ethernet and two tags.
const NETWORK_MASK: u64 = 0x1f;

/// The steps of both families differ in names and types only.
macro_rules! steps {
    ($address:ty, $judge:ident, $settle:ident, $renew:ident, $open:ident, $claim:ident,
     $translate:ident) => {
        impl Steps<$address> for Kernel {
            #[inline(always)]
            fn judge(&self, key: &FlowKey<$address>, ports: bool) -> Ruling {
                Ruling::from_word($judge(key, u64::from(ports)))
            }

            #[inline(always)]
            fn settle(
                &mut self,
                key: &FlowKey<$address>,
                service: <Self as Tables<$address>>::ServiceCell,
                flags: TcpFlags,
                known: bool,
            ) -> Settled {
                let (flags, known) = (u64::from(flags.0), u64::from(known));
                Settled::from_word($settle(key, service.0, flags, known))
            }

            #[inline(always)]
            fn renew<F: Frame>(
                &mut self,
                _: &F,
                key: &FlowKey<$address>,
                service: <Self as Tables<$address>>::ServiceCell,
                flags: TcpFlags,
            ) -> Settled {
                Settled::from_word($renew(self.xdp, key, service.0, u64::from(flags.0)))
            }

            #[inline(always)]
            fn open(
                &mut self,
                key: &FlowKey<$address>,
                service: <Self as Tables<$address>>::ServiceCell,
                flags: TcpFlags,
                moved: bool,
            ) -> Settled {
                let (flags, moved) = (u64::from(flags.0), u64::from(moved));
                Settled::from_word($open(key, service.0, flags, moved))
            }

            #[inline(always)]
            fn claim<F: Frame>(
                &mut self,
                _: &F,
                key: &FlowKey<$address>,
                service: <Self as Tables<$address>>::ServiceCell,
                opened: Settled,
                attempt: u32,
            ) -> Settled {
                let (opened, attempt) = (opened.word(), u64::from(attempt));
                Settled::from_word($claim(self.xdp, key, service.0, opened, attempt))
            }

            #[inline(always)]
            fn translate<F: Frame>(
                &mut self,
                _: &mut F,
                from: &FlowKey<$address>,
                to: &FlowKey<$address>,
                (at, payload_at): (usize, usize),
            ) -> Option<()> {
                ($translate(self.xdp, from, to, at as u64, payload_at as u64) != 0).then_some(())
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $judge(key: *const FlowKey<$address>, ports: u64) -> u64 {
            // SAFETY: it is the caller's, if it is not null.
            let Some(key) = (unsafe { key.as_ref() }) else {
                return Ruling::NONE.word();
            };
            datapath::judge(&Kernel::without_packet(), key, ports != 0).word()
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $settle(
            key: *const FlowKey<$address>,
            service: *mut Service,
            flags: u64,
            known: u64,
        ) -> u64 {
            if key.is_null() || service.is_null() {
                return Settled::NOTHING.word();
            }
            // SAFETY: it is the caller's, and not null. Copied, because kernels before 6.2 take
            // no pointer from a caller for a map's key.
            let key = unsafe { *key };
            let (service, flags) = (Value(service), TcpFlags(flags as u8));
            let mut kernel = Kernel::without_packet();
            datapath::settle(&mut kernel, &key, service, flags, known != 0).word()
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $renew(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            service: *mut Service,
            flags: u64,
        ) -> u64 {
            if key.is_null() || service.is_null() {
                return Settled::NOTHING.word();
            }
            // SAFETY: as above.
            let key = unsafe { *key };
            let (frame, flags) = (XdpFrame::new(xdp), TcpFlags(flags as u8));
            datapath::renew(&mut Kernel::new(xdp), &frame, &key, Value(service), flags).word()
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $open(
            key: *const FlowKey<$address>,
            service: *mut Service,
            flags: u64,
            moved: u64,
        ) -> u64 {
            if key.is_null() || service.is_null() {
                return Settled::NOTHING.word();
            }
            // SAFETY: as above.
            let key = unsafe { *key };
            let (service, flags) = (Value(service), TcpFlags(flags as u8));
            let mut kernel = Kernel::without_packet();
            datapath::open(&mut kernel, &key, service, flags, moved != 0).word()
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $claim(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            service: *mut Service,
            opened: u64,
            attempt: u64,
        ) -> u64 {
            if key.is_null() || service.is_null() {
                return Settled::NOTHING.word();
            }
            // SAFETY: as above.
            let key = unsafe { *key };
            let (frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            let (service, opened) = (Value(service), Settled::from_word(opened));
            datapath::claim(&mut kernel, &frame, &key, service, opened, attempt as u32).word()
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $translate(
            xdp: *mut xdp_md,
            from: *const FlowKey<$address>,
            to: *const FlowKey<$address>,
            at: u64,
            payload_at: u64,
        ) -> u64 {
            // SAFETY: they are the caller's, if they are not null.
            let (Some(from), Some(to)) = (unsafe { (from.as_ref(), to.as_ref()) }) else {
                return 0;
            };
            let at = (at & NETWORK_MASK) as usize;
            let payload_at = (payload_at & OFFSET_MASK) as usize;
            let mut frame = XdpFrame::new(xdp);
            u64::from(datapath::translate(&mut frame, from, to, (at, payload_at)).is_some())
        }
    };
}

steps!(
    V4,
    judge_v4,
    settle_v4,
    renew_v4,
    open_v4,
    claim_v4,
    translate_v4
);
steps!(
    V6,
    judge_v6,
    settle_v6,
    renew_v6,
    open_v6,
    claim_v6,
    translate_v6
);
