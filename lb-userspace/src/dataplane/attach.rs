//! Puts a generation on its interfaces: by an atomic update of a pinned link where there is one,
//! by a new link where there is none.

use std::io::ErrorKind;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpLinkId, XdpMode as AyaMode};
use aya::programs::{ProgramError, Xdp};
use nix::net::if_::{if_nameindex, if_nametoindex};

use super::{DataplaneError, Generation, Placement, pins};
use crate::document::XdpMode;

/// One interface that the program is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The interface's name.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Native or generic.
    pub native: bool,
    /// Why this mode.
    pub why: String,
    /// What was asked for.
    wanted: XdpMode,
}

/// Whether the attachments are what the placement asks for.
pub(super) fn is_placed(attachments: &[Attachment], placement: &Placement) -> bool {
    attachments.len() == placement.interfaces.len()
        && attachments
            .iter()
            .zip(&placement.interfaces)
            .all(|(attachment, name)| {
                attachment.interface == *name
                    && attachment.wanted == placement.mode
                    && index_of(name).is_ok_and(|index| index == attachment.index)
            })
}

/// Puts the generation on every interface of the placement and takes the program off all others.
/// If one refuses, those done so far get the previous generation back.
pub(super) fn place(
    generation: &mut Generation,
    mut previous: Option<&mut Generation>,
    placement: &Placement,
    pin_dir: &Path,
) -> Result<Vec<Attachment>, DataplaneError> {
    let indices: Vec<u32> = placement
        .interfaces
        .iter()
        .map(|name| index_of(name))
        .collect::<Result<_, _>>()?;
    let mut attachments = Vec::new();
    for (name, index) in placement.interfaces.iter().zip(indices) {
        match put(generation.program()?, name, index, placement.mode, pin_dir) {
            Ok(attachment) => attachments.push(attachment),
            Err(error) => {
                undo(&attachments, previous.as_deref_mut(), pin_dir);
                return Err(error);
            }
        }
    }
    for interface in pins::linked_interfaces(pin_dir) {
        if !placement.interfaces.contains(&interface) {
            pins::unpin(&pins::link_path(pin_dir, &interface))?;
        }
    }
    Ok(attachments)
}

/// Puts the program on one interface.
fn put(
    program: &mut Xdp,
    interface: &str,
    index: u32,
    mode: XdpMode,
    pin_dir: &Path,
) -> Result<Attachment, DataplaneError> {
    let path = pins::link_path(pin_dir, interface);
    if let Ok(pinned) = PinnedLink::from_pin(&path) {
        match replace(program, pinned, interface) {
            Ok(()) => return Ok(attachment(interface, index, mode, None)),
            // The link of an interface that is gone, or of another mode, is replaced by a new one.
            Err(error) => {
                tracing::info!(interface, %error, "the pinned link is of no use, making a new one");
                pins::unpin(&path)?;
            }
        }
    }
    let (link, refusal) = attach(program, interface, index, mode)?;
    let link = FdLink::try_from(program.take_link(link)?)
        .map_err(|error| link_error(interface, &error))?;
    link.pin(&path)
        .map_err(|error| link_error(interface, &error))?;
    Ok(attachment(interface, index, mode, refusal))
}

/// Attaches a program, natively where the driver can and the mode lets it; what the driver said
/// where it cannot.
pub(super) fn attach(
    program: &mut Xdp,
    interface: &str,
    index: u32,
    mode: XdpMode,
) -> Result<(XdpLinkId, Option<String>), DataplaneError> {
    let first = if mode == XdpMode::Generic {
        AyaMode::Skb
    } else {
        AyaMode::Driver
    };
    let refused = |source| attach_error(interface, mode, source);
    match program.attach_to_if_index(index, first) {
        Ok(link) => Ok((link, None)),
        Err(error) if mode == XdpMode::Auto && !is_occupied(&error) => {
            let link = program
                .attach_to_if_index(index, AyaMode::Skb)
                .map_err(refused)?;
            Ok((link, Some(describe(&error))))
        }
        Err(source) => Err(refused(source)),
    }
}

/// Swaps the program of a pinned link. A failure leaves the link as it was, because the pin holds
/// it; without a pin it would be detached.
fn replace(program: &mut Xdp, pinned: PinnedLink, interface: &str) -> Result<(), DataplaneError> {
    let link =
        XdpLink::try_from(FdLink::from(pinned)).map_err(|error| link_error(interface, &error))?;
    let id = program.attach_to_link(link)?;
    // Closing our descriptor leaves the pin.
    drop(program.take_link(id)?);
    Ok(())
}

/// Gives interfaces back to the previous generation, or takes the program off them.
fn undo(done: &[Attachment], previous: Option<&mut Generation>, pin_dir: &Path) {
    let mut previous = previous.and_then(|generation| generation.program().ok());
    for attachment in done {
        let path = pins::link_path(pin_dir, &attachment.interface);
        let restored = match (&mut previous, PinnedLink::from_pin(&path)) {
            (Some(program), Ok(pinned)) => replace(program, pinned, &attachment.interface),
            _ => pins::unpin(&path),
        };
        if let Err(error) = restored {
            tracing::error!(interface = attachment.interface, %error, "cannot undo the change");
        }
    }
}

pub(super) fn attachment(
    interface: &str,
    index: u32,
    wanted: XdpMode,
    refusal: Option<String>,
) -> Attachment {
    let (native, why) = match (wanted, refusal) {
        (XdpMode::Auto, None) => (true, "the driver has it".to_owned()),
        (XdpMode::Auto, Some(refusal)) => (false, format!("the driver refuses native: {refusal}")),
        (asked, _) => (asked == XdpMode::Native, "it was asked for".to_owned()),
    };
    Attachment {
        interface: interface.to_owned(),
        index,
        native,
        why,
        wanted,
    }
}

pub(super) fn index_of(name: &str) -> Result<u32, DataplaneError> {
    if_nametoindex(name).map_err(|_| {
        let known: Vec<String> = if_nameindex()
            .map(|names| {
                names
                    .iter()
                    .map(|name| name.name().to_string_lossy().into_owned())
                    .collect()
            })
            .unwrap_or_default();
        DataplaneError::NoInterface {
            name: name.to_owned(),
            known: known.join(", "),
        }
    })
}

/// A link that a program is attached to answers a second one with EBUSY, the older way of
/// attaching with EEXIST.
fn is_occupied(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    matches!(
        error.io_error.kind(),
        ErrorKind::ResourceBusy | ErrorKind::AlreadyExists
    )
}

fn describe(error: &ProgramError) -> String {
    match error {
        ProgramError::SyscallError(error) => error.io_error.to_string(),
        error => error.to_string(),
    }
}

fn attach_error(interface: &str, mode: XdpMode, source: ProgramError) -> DataplaneError {
    let interface = interface.to_owned();
    if is_occupied(&source) {
        DataplaneError::Occupied { interface }
    } else if mode == XdpMode::Native {
        DataplaneError::NotNative { interface, source }
    } else {
        DataplaneError::Attach { interface, source }
    }
}

fn link_error(interface: &str, error: &dyn std::fmt::Display) -> DataplaneError {
    DataplaneError::Link {
        interface: interface.to_owned(),
        what: error.to_string(),
    }
}
