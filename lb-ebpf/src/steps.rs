//! The steps that the kernel runs in global functions.
//!
//! The verifier judges such a function once, and for any arguments that its prototype allows
//! (kernel 5.6; pointers to structs 5.12); judged in line, every way through it would multiply the
//! states of all that follows. So arguments are checked here as if a stranger had passed them, and
//! what is returned is one number. There is no argument that is not used, because the compiler would
//! pass anything in its place. The stacks of a function and its caller share 512 bytes.

use aya_ebpf::bindings::xdp_md;
use lb_common::abi::{Backend, FlowKey, Service, V4, V6};
use lb_common::datapath::{
    self, Departure, Env, Frame, Order, Owner, Quoted, Recalled, Ruling, Settled, Steps, Tables,
};
use lb_common::wire::TcpFlags;
use pastey::paste;

use crate::env::{Kernel, Value};
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

/// A step about a flow of a service, with one question more: its method, or its function.
macro_rules! about_flow {
    (method $address:ty, $step:ident($question:ident), $function:ident) => {
        #[inline(always)]
        fn $step(
            &mut self,
            key: &FlowKey<$address>,
            service: <Self as Tables<$address>>::ServiceCell,
            flags: TcpFlags,
            $question: bool,
        ) -> Settled {
            let (flags, $question) = (u64::from(flags.0), u64::from($question));
            Settled($function(key, service.0, flags, $question))
        }
    };
    (function $address:ty, $step:ident($question:ident), $function:ident) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $function(
            key: *const FlowKey<$address>,
            service: *mut Service,
            flags: u64,
            $question: u64,
        ) -> u64 {
            let Some((key, service)) = both(key, service) else {
                return Settled::NOTHING.0;
            };
            let (key, flags) = (*key, TcpFlags(flags as u8));
            let mut kernel = Kernel::without_packet();
            datapath::$step(&mut kernel, &key, service, flags, $question != 0).0
        }
    };
}

/// A step that sends the frame towards a backend: its method, or its function.
macro_rules! to_backend {
    (method $address:ty, $step:ident, $function:ident) => {
        #[inline(always)]
        fn $step<F: Frame>(
            &mut self,
            _: &mut F,
            key: &FlowKey<$address>,
            backend: <Self as Env>::BackendCell,
            order: Order,
        ) -> Departure {
            Departure($function(self.xdp, key, backend.0, order.0))
        }
    };
    (function $address:ty, $step:ident, $function:ident) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $function(
            xdp: *mut xdp_md,
            key: *const FlowKey<$address>,
            backend: *mut Backend,
            order: u64,
        ) -> u64 {
            let Some((key, backend)) = both(key, backend) else {
                return Departure::NONE.0;
            };
            let (mut frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
            datapath::$step(&mut kernel, &mut frame, key, backend, Order(order)).0
        }
    };
}

/// A step that sends the frame towards a client: its method, or its function.
macro_rules! to_client {
    (method $address:ty, $step:ident, $function:ident) => {
        #[inline(always)]
        fn $step<F: Frame>(
            &mut self,
            _: &mut F,
            key: &FlowKey<$address>,
            flags: TcpFlags,
            order: Order,
            owner: &mut Owner,
        ) -> Departure {
            Departure($function(self.xdp, key, u64::from(flags.0), order.0, owner))
        }
    };
    (function $address:ty, $step:ident, $function:ident) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $function(
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
            datapath::$step(&mut kernel, &mut frame, &key, flags, order, owner).0
        }
    };
}

/// The steps of both families differ in names and types only.
macro_rules! steps {
    ($address:ty, $family:ident) => {
        paste! {
            impl Steps<$address> for Kernel {
                about_flow!(method $address, settle(known), [<settle_ $family>]);
                about_flow!(method $address, open(moved), [<open_ $family>]);
                to_backend!(method $address, deliver, [<deliver_ $family>]);
                to_backend!(method $address, send, [<send_ $family>]);
                to_backend!(method $address, send_across, [<send_across_ $family>]);
                to_backend!(method $address, error_to_backend, [<error_to_backend_ $family>]);
                to_client!(method $address, reply, [<reply_ $family>]);
                to_client!(method $address, answer, [<answer_ $family>]);
                to_client!(method $address, answer_across, [<answer_across_ $family>]);

                #[inline(always)]
                fn judge(&self, key: &FlowKey<$address>, ports: bool) -> Ruling {
                    Ruling([<judge_ $family>](key, u64::from(ports)))
                }

                #[inline(always)]
                fn recall<F: Frame>(&mut self, _: &F, order: Order) -> Recalled {
                    Recalled([<recall_ $family>](self.xdp, order.0))
                }

                #[inline(always)]
                fn remember<F: Frame>(
                    &mut self,
                    _: &F,
                    key: &FlowKey<$address>,
                    order: Order,
                ) -> bool {
                    [<remember_ $family>](self.xdp, key, order.0) != 0
                }

                #[inline(always)]
                fn renew<F: Frame>(
                    &mut self,
                    _: &F,
                    key: &FlowKey<$address>,
                    service: <Self as Tables<$address>>::ServiceCell,
                    flags: TcpFlags,
                ) -> Settled {
                    Settled([<renew_ $family>](self.xdp, key, service.0, u64::from(flags.0)))
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
                    Settled([<claim_ $family>](self.xdp, key, service.0, opened, attempt))
                }

                #[inline(always)]
                fn close(&mut self, key: &FlowKey<$address>) {
                    [<close_ $family>](key);
                }

                #[inline(always)]
                fn report<F: Frame>(
                    &mut self,
                    _: &mut F,
                    order: Order,
                    refused: Departure,
                ) -> Departure {
                    Departure([<report_ $family>](self.xdp, order.0, refused.0))
                }

                #[inline(always)]
                fn control<F: Frame>(
                    &mut self,
                    _: &mut F,
                    order: Order,
                    owner: &mut Owner,
                ) -> Departure {
                    Departure([<control_ $family>](self.xdp, order.0, owner))
                }

                #[inline(always)]
                fn echo<F: Frame>(&mut self, _: &mut F, order: Order) -> Departure {
                    Departure([<echo_ $family>](self.xdp, order.0))
                }

                #[inline(always)]
                fn find_quoted<F: Frame>(
                    &self,
                    _: &F,
                    order: Order,
                    key: &mut FlowKey<$address>,
                ) -> Quoted {
                    Quoted([<find_quoted_ $family>](self.xdp, order.0, key))
                }

                #[inline(always)]
                fn learn<F: Frame>(&mut self, _: &F, order: Order) -> Departure {
                    Departure([<learn_ $family>](self.xdp, order.0))
                }

                #[inline(always)]
                fn error_to_client<F: Frame>(
                    &mut self,
                    _: &mut F,
                    key: &FlowKey<$address>,
                    order: Order,
                    owner: &mut Owner,
                ) -> Departure {
                    Departure([<error_to_client_ $family>](self.xdp, key, order.0, owner))
                }
            }

            about_flow!(function $address, settle(known), [<settle_ $family>]);
            about_flow!(function $address, open(moved), [<open_ $family>]);
            to_backend!(function $address, deliver, [<deliver_ $family>]);
            to_backend!(function $address, send, [<send_ $family>]);
            to_backend!(function $address, send_across, [<send_across_ $family>]);
            to_backend!(function $address, error_to_backend, [<error_to_backend_ $family>]);
            to_client!(function $address, reply, [<reply_ $family>]);
            to_client!(function $address, answer, [<answer_ $family>]);
            to_client!(function $address, answer_across, [<answer_across_ $family>]);

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<judge_ $family>](key: *const FlowKey<$address>, ports: u64) -> u64 {
                // SAFETY: it is the caller's, if it is not null.
                let Some(key) = (unsafe { key.as_ref() }) else {
                    return Ruling::NONE.0;
                };
                datapath::judge(&Kernel::without_packet(), key, ports != 0).0
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<recall_ $family>](xdp: *mut xdp_md, order: u64) -> u64 {
                let (frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
                datapath::recall::<$address, _, _>(&mut kernel, &frame, Order(order)).0
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<remember_ $family>](
                xdp: *mut xdp_md,
                key: *const FlowKey<$address>,
                order: u64,
            ) -> u64 {
                // SAFETY: it is the caller's, if it is not null.
                let Some(key) = (unsafe { key.as_ref() }) else {
                    return 0;
                };
                let (frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
                let remembered = datapath::remember(&mut kernel, &frame, &{ *key }, Order(order));
                u64::from(remembered)
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<renew_ $family>](
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
            extern "C" fn [<claim_ $family>](
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
            extern "C" fn [<close_ $family>](key: *const FlowKey<$address>) -> u64 {
                // SAFETY: it is the caller's, if it is not null.
                if let Some(key) = unsafe { key.as_ref() } {
                    datapath::close(&Kernel::without_packet(), &{ *key });
                }
                0
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<control_ $family>](
                xdp: *mut xdp_md,
                order: u64,
                owner: *mut Owner,
            ) -> u64 {
                // SAFETY: the caller lends it for as long as this runs, if it is not null.
                let Some(owner) = (unsafe { owner.as_mut() }) else {
                    return Departure::NONE.0;
                };
                let (mut frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
                datapath::control::<$address, _, _>(&mut kernel, &mut frame, Order(order), owner).0
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<echo_ $family>](xdp: *mut xdp_md, order: u64) -> u64 {
                let (mut frame, order) = (XdpFrame::new(xdp), Order(order));
                datapath::echo::<$address, _, Kernel>(&Kernel::new(xdp), &mut frame, order).0
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<find_quoted_ $family>](
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
            extern "C" fn [<learn_ $family>](xdp: *mut xdp_md, order: u64) -> u64 {
                let (frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
                datapath::learn::<$address, _, _>(&mut kernel, &frame, Order(order)).0
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn [<error_to_client_ $family>](
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
            extern "C" fn [<report_ $family>](xdp: *mut xdp_md, order: u64, refused: u64) -> u64 {
                let (mut frame, mut kernel) = (XdpFrame::new(xdp), Kernel::new(xdp));
                let (order, refused) = (Order(order), Departure(refused));
                datapath::report::<$address, _, _>(&mut kernel, &mut frame, order, refused).0
            }
        }
    };
}

steps!(V4, v4);
steps!(V6, v6);
