//! The engine's longer steps, which an environment may run in its own way.
//!
//! The kernel's runs each in a function that the verifier judges by itself, see `lb-ebpf`'s
//! `steps.rs`; everything that goes in and out is made for that.

use super::{
    Departure, Env, Frame, Order, Owner, Quoted, Recalled, Ruling, Settled, Tables, answer,
    answer_across, claim, close, control, deliver, echo, error_to_backend, error_to_client,
    find_quoted, judge, learn, open, recall, remember, renew, reply, report, send, send_across,
    settle,
};
use crate::abi::FlowKey;
use crate::wire::{Family, TcpFlags};

/// The steps over the tables of one address family.
pub trait Steps<A: Family>: Tables<A> + Tables<A::Other> {
    /// [`judge`] as a step of its own.
    #[inline(always)]
    fn judge(&self, key: &FlowKey<A>, ports: bool) -> Ruling
    where
        Self: Env + Sized,
    {
        judge::<A, Self>(self, key, ports)
    }

    /// [`recall`] as a step of its own.
    #[inline(always)]
    fn recall<F: Frame>(&mut self, frame: &F, order: Order) -> Recalled
    where
        Self: Env + Sized,
    {
        recall::<A, F, Self>(self, frame, order)
    }

    /// [`remember`] as a step of its own.
    #[inline(always)]
    fn remember<F: Frame>(&mut self, frame: &F, key: &FlowKey<A>, order: Order) -> bool
    where
        Self: Env + Sized,
    {
        remember::<A, F, Self>(self, frame, key, order)
    }

    /// [`settle`] as a step of its own.
    #[inline(always)]
    fn settle(
        &mut self,
        key: &FlowKey<A>,
        service: <Self as Tables<A>>::ServiceCell,
        flags: TcpFlags,
        known: bool,
    ) -> Settled
    where
        Self: Env + Sized,
    {
        settle::<A, Self>(self, key, service, flags, known)
    }

    /// [`renew`] as a step of its own.
    #[inline(always)]
    fn renew<F: Frame>(
        &mut self,
        frame: &F,
        key: &FlowKey<A>,
        service: <Self as Tables<A>>::ServiceCell,
        flags: TcpFlags,
    ) -> Settled
    where
        Self: Env + Sized,
    {
        renew::<A, F, Self>(self, frame, key, service, flags)
    }

    /// [`open`] as a step of its own.
    #[inline(always)]
    fn open(
        &mut self,
        key: &FlowKey<A>,
        service: <Self as Tables<A>>::ServiceCell,
        flags: TcpFlags,
        moved: bool,
    ) -> Settled
    where
        Self: Env + Sized,
    {
        open::<A, Self>(self, key, service, flags, moved)
    }

    /// [`claim`] as a step of its own.
    #[inline(always)]
    fn claim<F: Frame>(
        &mut self,
        frame: &F,
        key: &FlowKey<A>,
        service: <Self as Tables<A>>::ServiceCell,
        opened: Settled,
        attempt: u32,
    ) -> Settled
    where
        Self: Env + Sized,
    {
        claim::<A, F, Self>(self, frame, key, service, opened, attempt)
    }

    /// [`deliver`] as a step of its own.
    #[inline(always)]
    fn deliver<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        backend: <Self as Env>::BackendCell,
        order: Order,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        deliver::<A, F, Self>(self, frame, key, backend, order)
    }

    /// [`send`] as a step of its own.
    #[inline(always)]
    fn send<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        backend: <Self as Env>::BackendCell,
        order: Order,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        send::<A, F, Self>(self, frame, key, backend, order)
    }

    /// [`send_across`] as a step of its own.
    #[inline(always)]
    fn send_across<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        backend: <Self as Env>::BackendCell,
        order: Order,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        send_across::<A, F, Self>(self, frame, key, backend, order)
    }

    /// [`echo`] as a step of its own.
    #[inline(always)]
    fn echo<F: Frame>(&mut self, frame: &mut F, order: Order) -> Departure
    where
        Self: Env + Sized,
    {
        echo::<A, F, Self>(self, frame, order)
    }

    /// [`control`] as a step of its own.
    #[inline(always)]
    fn control<F: Frame>(&mut self, frame: &mut F, order: Order, owner: &mut Owner) -> Departure
    where
        Self: Env + Sized,
    {
        control::<A, F, Self>(self, frame, order, owner)
    }

    /// [`find_quoted`] as a step of its own.
    #[inline(always)]
    fn find_quoted<F: Frame>(&self, frame: &F, order: Order, key: &mut FlowKey<A>) -> Quoted
    where
        Self: Env + Sized,
    {
        find_quoted::<A, F, Self>(self, frame, order, key)
    }

    /// [`learn`] as a step of its own.
    #[inline(always)]
    fn learn<F: Frame>(&mut self, frame: &F, order: Order) -> Departure
    where
        Self: Env + Sized,
    {
        learn::<A, F, Self>(self, frame, order)
    }

    /// [`error_to_backend`] as a step of its own.
    #[inline(always)]
    fn error_to_backend<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        backend: <Self as Env>::BackendCell,
        order: Order,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        error_to_backend::<A, F, Self>(self, frame, key, backend, order)
    }

    /// [`error_to_client`] as a step of its own.
    #[inline(always)]
    fn error_to_client<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        order: Order,
        owner: &mut Owner,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        error_to_client::<A, F, Self>(self, frame, key, order, owner)
    }

    /// [`reply`] as a step of its own.
    #[inline(always)]
    fn reply<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        flags: TcpFlags,
        order: Order,
        owner: &mut Owner,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        reply::<A, F, Self>(self, frame, key, flags, order, owner)
    }

    /// [`answer`] as a step of its own.
    #[inline(always)]
    fn answer<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        flags: TcpFlags,
        order: Order,
        owner: &mut Owner,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        answer::<A, F, Self>(self, frame, key, flags, order, owner)
    }

    /// [`answer_across`] as a step of its own.
    #[inline(always)]
    fn answer_across<F: Frame>(
        &mut self,
        frame: &mut F,
        key: &FlowKey<A>,
        flags: TcpFlags,
        order: Order,
        owner: &mut Owner,
    ) -> Departure
    where
        Self: Env + Sized,
    {
        answer_across::<A, F, Self>(self, frame, key, flags, order, owner)
    }

    /// [`close`] as a step of its own.
    #[inline(always)]
    fn close(&mut self, key: &FlowKey<A>)
    where
        Self: Env + Sized,
    {
        close::<A, Self>(self, key);
    }

    /// [`report`] as a step of its own.
    #[inline(always)]
    fn report<F: Frame>(&mut self, frame: &mut F, order: Order, refused: Departure) -> Departure
    where
        Self: Env + Sized,
    {
        report::<A, F, Self>(self, frame, order, refused)
    }
}
