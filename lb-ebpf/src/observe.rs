//! What was decided about a packet, for `lb trace` and the debug log.

use aya_log_ebpf::debug;
use lb_common::abi::{Features, Reason, Trace};
use lb_common::datapath::Outcome;

use crate::{env, maps};

/// A reason's name, with blanks up to the length of the longest: strings of as many lengths as there are
/// reasons would be as many ways for the verifier to walk, and the columns of a log are one below the other.
type Name = [u8; WIDTH];

const WIDTH: usize = {
    let (mut longest, mut index) = (0, 0);
    while index < Reason::ALL.len() {
        let length = Reason::ALL[index].name().len();
        longest = if length > longest { length } else { longest };
        index += 1;
    }
    longest
};

/// A power of two, so that a number is masked and needs no look at where the names end.
const ROWS: usize = Reason::ALL.len().next_power_of_two();

static NAMES: [Name; ROWS] = {
    let mut names = [[b' '; WIDTH]; ROWS];
    let mut index = 0;
    while index < Reason::ALL.len() {
        let name = Reason::ALL[index].name();
        names[index]
            .split_at_mut(name.len())
            .0
            .copy_from_slice(name.as_bytes());
        index += 1;
    }
    names
};

fn text(name: &Name) -> &str {
    // SAFETY: it is a string and blanks.
    unsafe { core::str::from_utf8_unchecked(name) }
}

/// Shows what was decided, if anybody looks.
#[inline(always)]
pub(crate) fn outcome(outcome: &Outcome) {
    let features = env::features();
    if !features.has(Features::TRACE) && !features.has(Features::DEBUG) {
        return;
    }
    let notes = &outcome.notes;
    let reason = outcome.reason as u64 | u64::from(notes.new_flow) << 32;
    let [rule, service, backend] = [notes.rule, notes.service, notes.backend].map(u64::from);
    tell(reason, rule, service, backend);
}

/// Writes the trace and the log: a global function, see `steps.rs`, whose result is nothing that
/// anybody needs, but kernels want one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell(reason: u64, rule: u64, service: u64, backend: u64) -> u64 {
    let features = env::features();
    let trace = Trace {
        reason: reason as u32,
        rule: rule as u32,
        service: service as u32,
        backend: backend as u32,
        new_flow: (reason >> 32) as u32,
        zero: 0,
    };
    if features.has(Features::TRACE) {
        maps::write_trace(&trace);
    }
    if features.has(Features::DEBUG) {
        debug!(
            // The macro does not use its context.
            (),
            "{} rule {} service {} backend {} new {}",
            text(&NAMES[trace.reason as usize % ROWS]),
            trace.rule.cast_signed(),
            trace.service.cast_signed(),
            trace.backend.cast_signed(),
            trace.new_flow
        );
    }
    0
}
