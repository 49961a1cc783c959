//! Edits of services and their backends.

use std::net::SocketAddr;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, TableLike, Value};

use super::layout;
use super::list::{List, Row, inline};
use super::{EditError, listed, text_of};
use crate::document::report::nearest;

/// What `lb service add` was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewService<'a> {
    pub(super) name: &'a str,
    pub(super) vip: &'a str,
    pub(super) scheduler: Option<&'a str>,
    pub(super) forward: Option<&'a str>,
    pub(super) check: Option<&'a str>,
    pub(super) backends: &'a [SocketAddr],
}

/// Adds a service at the end.
pub(super) fn add(document: &mut DocumentMut, new: &NewService<'_>) -> Result<(), EditError> {
    if new.backends.is_empty() {
        return Err(EditError::NoBackends(new.name.to_owned()));
    }
    let row = row(new)?;
    let root = document.as_table_mut();
    if List::open(root, "service")?.is_none() {
        root.insert("service", Item::ArrayOfTables(ArrayOfTables::new()));
    }
    let Some(mut services) = List::open(root, "service")? else {
        return Err(EditError::NotTables("service"));
    };
    if services
        .iter()
        .any(|table| text_of(table, "name") == new.name)
    {
        return Err(EditError::ServiceExists(new.name.to_owned()));
    }
    services.push(row);
    Ok(())
}

fn row(new: &NewService<'_>) -> Result<Row, EditError> {
    let mut row: Row = vec![("name", new.name.into()), ("vip", new.vip.into())];
    if let Some(scheduler) = new.scheduler {
        row.push(("scheduler", scheduler.into()));
    }
    if let Some(forward) = new.forward {
        row.push(("forward", forward.into()));
    }
    if let Some(check) = new.check {
        row.push(("check", check_value(check)?));
    }
    let backends = new
        .backends
        .iter()
        .map(|address| inline(backend_row(*address, None)));
    row.push(("backend", Value::Array(layout::one_a_line(backends))));
    Ok(row)
}

/// `tcp`, `http:/path` or `https:/path`, the path optional.
fn check_value(text: &str) -> Result<Value, EditError> {
    let (kind, path) = text
        .split_once(':')
        .map_or((text, None), |(kind, path)| (kind, Some(path)));
    let known = match kind {
        "tcp" => path.is_none(),
        "http" | "https" => path.is_none_or(|path| path.starts_with('/')),
        _ => false,
    };
    if !known {
        return Err(EditError::BadCheck(text.to_owned()));
    }
    let mut row: Row = vec![("kind", kind.into())];
    if let Some(path) = path {
        row.push(("path", path.into()));
    }
    Ok(inline(row))
}

/// Removes a service with everything that belongs to it.
pub(super) fn remove(document: &mut DocumentMut, name: &str) -> Result<(), EditError> {
    let orphan = {
        let (mut services, index) = find(document, name)?;
        services.remove(index)
    };
    layout::adopt(document, orphan);
    Ok(())
}

/// The list of services and the place in it of the one called `name`.
fn find<'d>(document: &'d mut DocumentMut, name: &str) -> Result<(List<'d>, usize), EditError> {
    let Some(services) = List::open(document.as_table_mut(), "service")? else {
        return Err(unknown(name, &[]));
    };
    let names: Vec<&str> = services
        .iter()
        .map(|table| text_of(table, "name"))
        .collect();
    let Some(index) = names.iter().position(|other| *other == name) else {
        return Err(unknown(name, &names));
    };
    Ok((services, index))
}

fn unknown(name: &str, names: &[&str]) -> EditError {
    let listed = listed("services", names);
    let known = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {listed}"),
        None => listed,
    };
    EditError::NoService {
        name: name.to_owned(),
        known,
    }
}

/// The table of a service.
fn service<'d>(
    document: &'d mut DocumentMut,
    name: &str,
) -> Result<&'d mut dyn TableLike, EditError> {
    let (services, index) = find(document, name)?;
    match services.into_entry(index) {
        Some(entry) => Ok(entry.table()),
        None => Err(EditError::NotTables("service")),
    }
}

/// The backends of a service.
fn backends<'d>(document: &'d mut DocumentMut, name: &str) -> Result<List<'d>, EditError> {
    let service = service(document, name)?;
    if List::open(service, "backend")?.is_none() {
        service.insert("backend", Item::Value(Value::Array(Array::new())));
    }
    List::open(service, "backend")?.ok_or(EditError::NotTables("backend"))
}

/// Where in the list the backend is.
fn position(backends: &List<'_>, address: SocketAddr) -> Option<usize> {
    backends
        .iter()
        .position(|table| text_of(table, "address").parse() == Ok(address))
}

fn require(backends: &List<'_>, service: &str, address: SocketAddr) -> Result<usize, EditError> {
    position(backends, address).ok_or_else(|| EditError::NoBackend {
        service: service.to_owned(),
        address,
        known: listed(
            "backends",
            backends.iter().map(|table| text_of(table, "address")),
        ),
    })
}

fn backend_row(address: SocketAddr, weight: Option<u16>) -> Row {
    let mut row: Row = vec![("address", address.to_string().into())];
    if let Some(weight) = weight {
        row.push(("weight", i64::from(weight).into()));
    }
    row
}

/// Adds a backend at the end of its service.
pub(super) fn add_backend(
    document: &mut DocumentMut,
    service: &str,
    address: SocketAddr,
    weight: Option<u16>,
) -> Result<(), EditError> {
    let mut backends = backends(document, service)?;
    if position(&backends, address).is_some() {
        return Err(EditError::BackendExists {
            service: service.to_owned(),
            address,
        });
    }
    backends.push(backend_row(address, weight));
    Ok(())
}

/// Removes a backend that is not the last.
pub(super) fn remove_backend(
    document: &mut DocumentMut,
    service: &str,
    address: SocketAddr,
) -> Result<(), EditError> {
    let orphan = {
        let mut backends = backends(document, service)?;
        let index = require(&backends, service, address)?;
        if backends.len() == 1 {
            return Err(EditError::LastBackend {
                service: service.to_owned(),
                address,
            });
        }
        backends.remove(index)
    };
    layout::adopt(document, orphan);
    Ok(())
}

/// Begins or ends the drain of a backend.
pub(super) fn set_drain(
    document: &mut DocumentMut,
    service: &str,
    address: SocketAddr,
    drain: bool,
) -> Result<(), EditError> {
    let backends = backends(document, service)?;
    let index = require(&backends, service, address)?;
    let Some(mut entry) = backends.into_entry(index) else {
        return Err(EditError::NotTables("backend"));
    };
    if drain {
        entry.set("drain", true.into());
    } else {
        entry.unset("drain");
    }
    Ok(())
}
