//! The steps that the kernel runs in global functions.
//!
//! The verifier judges such a function once, and for any arguments that its prototype allows
//! (kernel 5.6; pointers to structs 5.12); judged in line, every way through it would multiply the
//! states of all that follows. So arguments are checked here as if a stranger had passed them, and
//! what is returned is one number. There is no argument that is not used, because the compiler would
//! pass anything in its place. The stacks of a function and its caller share 512 bytes.

use aya_ebpf::bindings::xdp_md;
use lb_common::abi::{Backend, Features, FlowKey, Service, V4, V6};
use lb_common::datapath::{
    self, Departure, Env, Frame, Order, Owner, Quoted, Ruling, Settled, Steps, Tables,
};
use lb_common::wire::TcpFlags;

use crate::env::{Kernel, Value, features};
use crate::frame::XdpFrame;

/// What a caller passed, unless one of both is null.
///
/// A key is copied before it is looked up: kernels before 6.2 take no pointer from a caller for a
/// map's key.
#[inline(always)]
fn both<'a, K, V>(key: *const K, value: *mut V) -> Option<(&'a K, Value<V>)> {
    if value.is_null() {
        return None;
    }
    // SAFETY: it is the caller's, if it is not null.
    let key = unsafe { key.as_ref() }?;
    Some((key, Value(value)))
}

/// The steps of both families differ in names and types only.
macro_rules! steps {
    ($address:ty, $judge:ident, $settle:ident, $renew:ident, $open:ident, $claim:ident,
     $send:ident, $send_across:ident, $deliver:ident, $answer:ident, $answer_across:ident,
     $close:ident, $reply:ident, $control:ident, $echo:ident, $find_quoted:ident,
     $learn:ident, $error_to_backend:ident, $error_to_client:ident, $too_big:ident) => {
        impl Steps<$address> for Kernel {
            #[inline(always)]
            fn judge(&self, key: &FlowKey<$address>, ports: bool) -> Ruling {
                Ruling($judge(key, u64::from(ports)))
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
                Settled($settle(key, service.0, flags, known))
            }

            #[inline(always)]
            fn renew<F: Frame>(
                &mut self,
                _: &F,
                key: &FlowKey<$address>,
                service: <Self as Tables<$address>>::ServiceCell,
                flags: TcpFlags,
            ) -> Settled {
                Settled($renew(self.xdp, key, service.0, u64::from(flags.0)))
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
                Settled($open(key, service.0, flags, moved))
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
                let (opened, attempt) = (opened.0, u64::from(attempt));
                Settled($claim(self.xdp, key, service.0, opened, attempt))
            }

            #[inline(always)]
            fn send<F: Frame>(
                &mut self,
                _: &mut F,
                key: &FlowKey<$address>,
                backend: <Self as Env>::BackendCell,
                order: Order,
            ) -> Departure {
                Departure($deliver(self.xdp, key, backend.0, order.0))
            }

            #[inline(always)]
            fn answer<F: Frame>(
                &mut self,
                _: &mut F,
                key: &FlowKey<$address>,
                flags: TcpFlags,
                order: Order,
                owner: &mut Owner,
            ) -> Departure {
                Departure($reply(self.xdp, key, u64::from(flags.0), order.0, owner))
            }

            #[inline(always)]
            fn control<F: Frame>(
                &mut self,
                _: &mut F,
                order: Order,
                owner: &mut Owner,
            ) -> Departure {
                Departure($control(self.xdp, order.0, owner))
            }

            #[inline(always)]
            fn echo<F: Frame>(&mut self, _: &mut F, order: Order) -> Departure {
                Departure($echo(self.xdp, order.0))
            }

            #[inline(always)]
            fn find_quoted<F: Frame>(
                &self,
                _: &F,
                order: Order,
                key: &mut FlowKey<$address>,
            ) -> Quoted {
                Quoted($find_quoted(self.xdp, order.0, key))
            }

            #[inline(always)]
            fn learn<F: Frame>(&mut self, _: &F, order: Order) -> Departure {
                Departure($learn(self.xdp, order.0))
            }

            #[inline(always)]
            fn error_to_backend<F: Frame>(
                &mut self,
                _: &mut F,
                key: &FlowKey<$address>,
                backend: <Self as Env>::BackendCell,
                order: Order,
            ) -> Departure {
                Departure($error_to_backend(self.xdp, key, backend.0, order.0))
            }

            #[inline(always)]
            fn error_to_client<F: Frame>(
                &mut self,
                _: &mut F,
                key: &FlowKey<$address>,
                order: Order,
                owner: &mut Owner,
            ) -> Departure {
                Departure($error_to_client(self.xdp, key, order.0, owner))
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $judge(key: *const FlowKey<$address>, ports: u64) -> u64 {
            // SAFETY: it is the caller's, if it is not null.
            let Some(key) = (unsafe { key.as_ref() }) else {
                return Ruling::NONE.0;
            };
            datapath::judge(&Kernel::without_packet(), key, ports != 0).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $settle(
            key: *const FlowKey<$address>,
            service: *mut Service,
            flags: u64,
            known: u64,
        ) -> u64 {
            let Some((key, service)) = both(key, service) else {
                return Settled::NOTHING.0;
            };
            let key = *key;
            let flags = TcpFlags(flags as u8);
            let mut kernel = Kernel::without_packet();
            datapath::settle(&mut kernel, &key, service, flags, known != 0).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $renew(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            service: *mut Service,
            flags: u64,
        ) -> u64 {
            let Some((key, service)) = both(key, service) else {
                return Settled::NOTHING.0;
            };
            let key = *key;
            let (frame, flags) = (XdpFrame::new(xdp), TcpFlags(flags as u8));
            datapath::renew(&mut Kernel::new(xdp), &frame, &key, service, flags).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $open(
            key: *const FlowKey<$address>,
            service: *mut Service,
            flags: u64,
            moved: u64,
        ) -> u64 {
            let Some((key, service)) = both(key, service) else {
                return Settled::NOTHING.0;
            };
            let key = *key;
            let flags = TcpFlags(flags as u8);
            let mut kernel = Kernel::without_packet();
            datapath::open(&mut kernel, &key, service, flags, moved != 0).0
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
            let Some((key, service)) = both(key, service) else {
                return Settled::NOTHING.0;
            };
            let key = *key;
            let (frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            let opened = Settled(opened);
            datapath::claim(&mut kernel, &frame, &key, service, opened, attempt as u32).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $send(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            backend: *mut Backend,
            order: u64,
        ) -> u64 {
            let Some((key, backend)) = both(key, backend) else {
                return Departure::NONE.0;
            };
            let (mut frame, order) = (XdpFrame::new(xdp), Order(order));
            let kernel = Kernel::without_packet();
            datapath::send(&kernel, &mut frame, key, &backend, order).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $answer(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            flags: u64,
            order: u64,
            owner: *mut Owner,
        ) -> u64 {
            let Some((key, owner)) = both(key, owner) else {
                return Departure::NONE.0;
            };
            // SAFETY: the caller lends it for as long as this runs.
            let owner = unsafe { &mut *owner.0 };
            let (mut frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            let (key, flags, order) = (*key, TcpFlags(flags as u8), Order(order));
            datapath::answer(&mut kernel, &mut frame, &key, flags, order, owner).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $answer_across(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            flags: u64,
            order: u64,
            owner: *mut Owner,
        ) -> u64 {
            let Some((key, owner)) = both(key, owner) else {
                return Departure::NONE.0;
            };
            // SAFETY: the caller lends it for as long as this runs.
            let owner = unsafe { &mut *owner.0 };
            let (mut frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            let (key, flags, order) = (*key, TcpFlags(flags as u8), Order(order));
            datapath::answer_across(&mut kernel, &mut frame, &key, flags, order, owner).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $close(key: *const FlowKey<$address>) -> u64 {
            // SAFETY: it is the caller's, if it is not null.
            if let Some(key) = unsafe { key.as_ref() } {
                datapath::close(&Kernel::without_packet(), &{ *key });
            }
            0
        }

        /// One after the other, because the stack has no room for all at once.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $reply(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            flags: u64,
            order: u64,
            owner: *mut Owner,
        ) -> u64 {
            let mut sent = $answer(xdp, key, flags, order, owner);
            if features().has(Features::CROSSING) && Departure(sent) == Departure::NOT_OURS {
                sent = $answer_across(xdp, key, flags, order, owner);
            }
            if TcpFlags(flags as u8).resets() && Departure(sent).leaves() {
                $close(key);
            }
            match Departure(sent).fitting() {
                Some(mtu) => $too_big(xdp, order, u64::from(mtu)),
                None => sent,
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $control(xdp: *mut xdp_md, order: u64, owner: *mut Owner) -> u64 {
            // SAFETY: the caller lends it for as long as this runs, if it is not null.
            let Some(owner) = (unsafe { owner.as_mut() }) else {
                return Departure::NONE.0;
            };
            let (mut frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            datapath::control::<$address, _, _>(&mut kernel, &mut frame, Order(order), owner).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $find_quoted(
            xdp: *mut xdp_md,
            order: u64,
            key: *mut FlowKey<$address>,
        ) -> u64 {
            // SAFETY: as above.
            let Some(key) = (unsafe { key.as_mut() }) else {
                return Quoted::NOTHING.0;
            };
            let (frame, kernel) = (XdpFrame::new(xdp), Kernel::without_packet());
            datapath::find_quoted(&kernel, &frame, Order(order), key).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $learn(xdp: *mut xdp_md, order: u64) -> u64 {
            let (frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            datapath::learn::<$address, _, _>(&mut kernel, &frame, Order(order)).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $error_to_backend(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            backend: *mut Backend,
            order: u64,
        ) -> u64 {
            let Some((key, backend)) = both(key, backend) else {
                return Departure::NONE.0;
            };
            let (mut frame, kernel) = (XdpFrame::new(xdp), Kernel::without_packet());
            datapath::error_to_backend(&kernel, &mut frame, key, &backend, Order(order)).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $error_to_client(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            order: u64,
            owner: *mut Owner,
        ) -> u64 {
            let Some((key, owner)) = both(key, owner) else {
                return Departure::NONE.0;
            };
            // SAFETY: as above.
            let owner = unsafe { &mut *owner.0 };
            let (mut frame, kernel) = (XdpFrame::new(xdp), Kernel::without_packet());
            datapath::error_to_client(&kernel, &mut frame, &{ *key }, Order(order), owner).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $echo(xdp: *mut xdp_md, order: u64) -> u64 {
            let (mut frame, order) = (XdpFrame::new(xdp), Order(order));
            datapath::echo::<$address, _, Kernel>(&Kernel::new(xdp), &mut frame, order).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $send_across(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            backend: *mut Backend,
            order: u64,
        ) -> u64 {
            let Some((key, backend)) = both(key, backend) else {
                return Departure::NONE.0;
            };
            let (mut frame, kernel) = (XdpFrame::new(xdp), Kernel::without_packet());
            datapath::send_across(&kernel, &mut frame, key, &backend, Order(order)).0
        }

        /// As in the other direction.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $deliver(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            backend: *mut Backend,
            order: u64,
        ) -> u64 {
            let Some((key, entry)) = both(key, backend) else {
                return Departure::NONE.0;
            };
            let kernel = Kernel::without_packet();
            let sent = if datapath::crosses::<$address, _>(&kernel, &entry, Order(order)) {
                $send_across(xdp, key, backend, order)
            } else {
                $send(xdp, key, backend, order)
            };
            match Departure(sent).fitting() {
                Some(mtu) => $too_big(xdp, order, u64::from(mtu)),
                None => sent,
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $too_big(xdp: *mut xdp_md, order: u64, mtu: u64) -> u64 {
            let (mut frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            let order = Order(order);
            datapath::report_too_big::<$address, _, _>(&mut kernel, &mut frame, order, mtu as u16).0
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
    send_v4,
    send_across_v4,
    deliver_v4,
    answer_v4,
    answer_across_v4,
    close_v4,
    reply_v4,
    control_v4,
    echo_v4,
    find_quoted_v4,
    learn_v4,
    error_to_backend_v4,
    error_to_client_v4,
    too_big_v4
);
steps!(
    V6,
    judge_v6,
    settle_v6,
    renew_v6,
    open_v6,
    claim_v6,
    send_v6,
    send_across_v6,
    deliver_v6,
    answer_v6,
    answer_across_v6,
    close_v6,
    reply_v6,
    control_v6,
    echo_v6,
    find_quoted_v6,
    learn_v6,
    error_to_backend_v6,
    error_to_client_v6,
    too_big_v6
);
