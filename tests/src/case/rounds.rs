//! Thousands of flows over equal backends: too many for a written case, the same on every ring.

use lb_userspace::tables::Tables;

use super::Scene;
use crate::ring::Ring;

/// How many flows are opened.
pub const FLOWS: u32 = 3000;
/// Over how many backends.
pub const BACKENDS: u32 = 3;

/// A scene's tables with room and ports for all these flows.
pub fn tables(scene: Scene) -> Tables {
    scene
        .setup(BACKENDS as u8)
        .nat_ports(1024, 31_744)
        .flows(16_384)
        .tables()
}

/// Opens every flow, each from a port of its own; an error says where the round was not exact.
pub fn open_all(scene: Scene, ring: &mut dyn Ring) -> Result<(), String> {
    for number in 0..FLOWS {
        let mut opening = scene.opening(0);
        opening.source.set_port(10_000 + number as u16);
        let ran = ring.run(&opening.bytes());
        let (wanted, found) = (number % BACKENDS, ran.trace.backend);
        if !ran.is_forwarded() || ran.trace.new_flow != 1 || wanted != found {
            return Err(format!(
                "{scene}: flow {number} goes to backend {found} for {:?}, not to {wanted}",
                ran.reason()
            ));
        }
    }
    let state = ring.state();
    for backend in 0..BACKENDS {
        let connections = state.backends.get(&backend).map_or(0, |b| b.connections);
        if connections != u64::from(FLOWS / BACKENDS) {
            return Err(format!(
                "{scene}: backend {backend} counts {connections} connections"
            ));
        }
    }
    let counted = state.services.get(&0).map_or(0, |s| s.connections);
    if counted != u64::from(FLOWS) || state.flows.len() != FLOWS as usize {
        return Err(format!(
            "{scene}: {counted} connections counted, {} flows remembered",
            state.flows.len()
        ));
    }
    Ok(())
}
