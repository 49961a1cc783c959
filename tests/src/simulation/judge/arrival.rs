//! What a backend receives: intact, for it, and as one entry says, not a mixture of two.

use lb_common::abi::{Backend, BackendState};

use super::super::connection::listens_at;
use super::super::network::read;
use super::super::{Flight, Simulation};
use crate::case::Scene;
use crate::packet::verify::Received;
use crate::ring::{Exit, Ran};
use crate::world::OUR_MAC;

impl Simulation {
    /// Judges a client's packet that was sent on, and returns what the backend reads.
    pub(super) fn judge_at_backend(
        &mut self,
        id: u32,
        flight: &Flight,
        ran: &Ran,
    ) -> Result<Received, String> {
        let received = read(&ran.frame)?;
        let sent = read(&flight.frame.bytes)?;
        let connection = &self.connections[id as usize];
        let (scene, tuple) = (connection.scene, connection.tuple());
        let service = self.service_of(&tuple);
        if Some(ran.trace.service) != service {
            let other = ran.trace.service;
            return Err(format!("a packet of service {service:?} goes by {other}"));
        }
        let entries = flight
            .generation
            .backends_between(ran.trace.backend, self.flown(flight).span);
        let fits = |entry: &Backend| -> Result<(), String> {
            let keeps = if ran.trace.new_flow == 1 {
                entry.state == BackendState::UP
            } else {
                entry.state.keeps_flows()
            };
            if !keeps || Some(entry.service) != service {
                return Err(format!("the entry is {:?}", entry.state));
            }
            as_entry_says(entry, ran, &received)?;
            as_mode_says(scene, entry, &sent, &received)
        };
        let misfits: Vec<String> = entries
            .iter()
            .filter_map(|entry| fits(entry).err())
            .collect();
        if misfits.len() == entries.len() {
            return Err(format!(
                "{received:?} is of none of the backend's entries: {misfits:?}"
            ));
        }
        if scene.is_nat() {
            let first = received.source.port().wrapping_sub(20_000);
            let own = !scene.shares_port() && received.source.port() == sent.source.port();
            if first >= self.options.ports && !own {
                return Err(format!("port {} is not ours", received.source.port()));
            }
            self.judge_owner(id, flight, &received)?;
        }
        Ok(received)
    }
}

/// The frame takes the entry's way.
fn as_entry_says(entry: &Backend, ran: &Ran, received: &Received) -> Result<(), String> {
    let interface = match ran.exit {
        Exit::Tx => crate::world::INTERFACE,
        Exit::Redirect(Some(interface)) => interface,
        _ => 0,
    };
    if interface != entry.hop.interface || interface == 0 {
        return Err(format!("it leaves by interface {interface}"));
    }
    if ran.frame[..6] != entry.hop.destination() || ran.frame[6..12] != OUR_MAC {
        return Err(format!("{received:?} goes to another station"));
    }
    Ok(())
}

/// The packet is as the service's way of forwarding makes it.
fn as_mode_says(
    scene: Scene,
    entry: &Backend,
    sent: &Received,
    received: &Received,
) -> Result<(), String> {
    if received.payload != sent.payload {
        return Err("the payload has changed".to_owned());
    }
    if !scene.is_nat() {
        return if received == sent {
            Ok(())
        } else {
            Err("dsr has changed the packet".to_owned())
        };
    }
    let source = if scene.shares_port() {
        scene.our_address()
    } else {
        sent.source.ip()
    };
    if received.hop_limit + 1 != sent.hop_limit || received.source.ip() != source {
        return Err("the translation has made something else".to_owned());
    }
    if listens_at(entry, received.destination) {
        Ok(())
    } else {
        Err("it is addressed to another backend".to_owned())
    }
}
