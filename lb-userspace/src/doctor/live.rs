//! The program's packets on their real way out: what XDP sends back or redirects, and whether a
//! backend hears it.
//!
//! The program is shown a client's packet as a live frame (`BPF_F_TEST_XDP_LIVE_FRAMES`), which then
//! leaves as if it had been attached. Only backends that answered the same question through a packet
//! socket are asked, so that a missing answer tells of the exit alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use aya::util::KernelVersion;

use super::DoctorError;
use super::backend::{Patient, Ward};
use super::datapath::Made;
use super::evidence::{Evidence, Question};
use super::probes::spoken;
use super::wire::Wire;

/// How often is asked.
const TRIES: u32 = 2;

/// What was tried.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// One for each interface that packets arrive on and each that they leave by.
    pub(super) made: Vec<Trial>,
    /// Why nothing could be tried.
    pub(super) obstacle: Option<String>,
}

/// A packet that arrived on one interface and should leave by another or the same.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// Index of the interface that it came in by.
    pub(super) from: u32,
    /// That of the one it leaves by.
    pub(super) to: u32,
    /// The latter's name.
    pub(super) to_name: String,
    /// Who was asked.
    pub(super) backend: SocketAddr,
    /// Whether there was an answer.
    pub(super) arrived: bool,
}

/// Shows the program packets that arrive on each of the `doors`, and looks what leaves.
pub(super) fn prove(
    ward: &mut Ward<'_>,
    wire: &mut Wire,
    patients: &[Patient<'_>],
    evidence: &Evidence,
    doors: &[u32],
) -> Result<Trials, DoctorError> {
    // Commit b530e9e1063e.
    if KernelVersion::current().is_ok_and(|running| running < KernelVersion::new(5, 18, 0)) {
        let obstacle = "the kernel is older than 5.18, which can show the program live frames";
        return Ok(Trials {
            made: Vec::new(),
            obstacle: Some(obstacle.to_owned()),
        });
    }
    let (mut trials, mut packets) = (Trials::default(), Vec::new());
    for (to, patient) in witnesses(patients, evidence) {
        for &from in doors {
            let Some((to_name, made)) = packet(ward, patient, from)? else {
                continue;
            };
            trials.made.push(Trial {
                from,
                to,
                to_name,
                backend: patient.backend,
                arrived: false,
            });
            packets.push(made);
        }
    }
    let questions = trials
        .made
        .iter()
        .zip(&packets)
        .map(|(trial, made)| Question {
            interface: trial.from,
            frame: made.shown.clone(),
            answers: spoken(made.answer).to_vec(),
            is_vital: true,
        });
    let questions: Vec<_> = questions.collect();
    let (datapath, obstacle) = (&mut ward.datapath, &mut trials.obstacle);
    let heard = Evidence::gather(wire, &questions, TRIES, |_, question| {
        if let Err(error) = datapath.live(question.interface, &question.frame) {
            *obstacle = Some(format!("the kernel takes no live frames: {error}"));
        }
    });
    let heard = heard.map_err(|source| DoctorError::Socket {
        what: "read",
        source,
    })?;
    for (trial, made) in trials.made.iter_mut().zip(&packets) {
        trial.arrived = heard.spoke(made.answer);
    }
    Ok(trials)
}

/// For each interface that packets leave by, a backend behind it that answers: one of the service
/// that has the fewest, because all of a service's are asked in turn until it is this one's.
fn witnesses<'a, 'b>(
    patients: &'a [Patient<'b>],
    evidence: &Evidence,
) -> BTreeMap<u32, &'a Patient<'b>> {
    let mut witnesses: BTreeMap<u32, &Patient<'_>> = BTreeMap::new();
    let willing = patients.iter().filter(|one| one.answers(evidence));
    for patient in willing {
        let Some(hop) = patient.way() else {
            continue;
        };
        let best = witnesses.entry(hop.interface).or_insert(patient);
        if patient.service.backends.len() < best.service.backends.len() {
            *best = patient;
        }
    }
    witnesses
}

/// A client's packet to the backend that arrives on an interface, with a port of its own: an answer
/// to it answers no other question.
fn packet(
    ward: &mut Ward<'_>,
    patient: &Patient<'_>,
    from: u32,
) -> Result<Option<(String, Made)>, DoctorError> {
    let (Some(client), Some(hop)) = (patient.client, patient.way()) else {
        return Ok(None);
    };
    let port = ward.take_ports(patient.service.backends.len() as u16);
    let client = SocketAddr::new(client, port);
    let made = ward
        .datapath
        .packet_to(patient.service, client, from, patient.backend)?;
    Ok(made.map(|made| (hop.interface_name.clone(), made)))
}
